"""Settings compared after their own tuning: chosen on other draws than those judged, by hand and in a report."""

import math

import pytest
from scipy import stats
from sweep_folders import make_sweep, result, write_record, write_run

from mlplab.cli.app import main
from mlplab.report.joining import build
from mlplab.report.tuned import compare_tuned, differences, tuned_sentences, tuned_table
from mlplab.runs.sweep_folder import read_sweep

DRAWS = range(4)


def sweep_of(folder, regrets, key="model.width"):
    """Write runs of (value, rate) with (validation, fresh) NLL regrets on each draw."""
    jobs = []
    for (value, rate), rows in regrets.items():
        for draw, (validation, fresh) in zip(DRAWS, rows):
            digest = f"{len(jobs):064x}"
            made = result(0.05, config_digest=digest)
            for part, regret in (("validation", validation), ("fresh", fresh)):
                made[part] = made[part] | {"nll_regret": regret, "nll": 0.0324 + regret, "accuracy_regret": regret / 10}
            name = f"run{len(jobs):04d}-{digest[-8:]}"
            write_run(folder / name, made)
            swept = {key: value, "optimizer.lr": rate, "data.seed": draw}
            jobs.append(
                {
                    "name": name,
                    "swept": swept,
                    "overrides": [],
                    "config_digest": digest,
                    "status": "finished",
                    "error": None,
                    "result": made,
                }
            )
    write_record(folder, jobs)
    return build([read_sweep(folder)])


# Of width 16 the second rate is better on validation points but for the last draw, whose own choice must not count.
REGRETS = {
    (8, 0.01): [(0.04, 0.041), (0.05, 0.042), (0.04, 0.043), (0.05, 0.049)],
    (8, 0.1): [(0.4, 0.4)] * 4,
    (16, 0.01): [(0.03, 0.03)] * 3 + [(0.001, 0.01)],
    (16, 0.1): [(0.02, 0.020), (0.02, 0.022), (0.02, 0.021), (0.09, 0.025)],
}


def test_training_is_chosen_on_the_other_draws_and_judged_on_this_one(tmp_path):
    found = compare_tuned(sweep_of(tmp_path / "s", REGRETS))
    assert found.keys == ["model.width"] and found.training == ["optimizer.lr"] and found.of_draws and found.same_limit
    best, other = found.rows
    assert best.values == (16,) and other.values == (8,)
    # Without draw 3 the second rate wins (0.02 against 0.03); with it, in each of the other choices, the first one does.
    means = {
        rate: [math.fsum(math.log(REGRETS[16, rate][k][0]) for k in DRAWS if k != draw) for draw in DRAWS]
        for rate in (0.01, 0.1)
    }
    picks = [min((0.01, 0.1), key=lambda rate: means[rate][draw]) for draw in DRAWS]
    assert picks == [0.01, 0.01, 0.01, 0.1]
    assert best.nll == [REGRETS[16, rate][draw][1] for draw, rate in zip(DRAWS, picks)] == [0.03, 0.03, 0.03, 0.025]
    assert best.chosen == [("lr=0.01", 3), ("lr=0.1", 1)] and other.chosen == [("lr=0.01", 4)]
    assert other.ends == ["the lowest lr tried"]
    difference, p = differences(found, "nll")[1]
    paired = stats.ttest_rel(other.nll, best.nll)
    assert p == pytest.approx(paired.pvalue) and difference.low == pytest.approx(paired.confidence_interval().low)
    header, first, second = tuned_table(found)
    assert header[:4] == ["width", "trained by", "NLL regret", "accuracy regret, percentage points"]
    assert first[1] == "lr=0.01 (3 of 4)" and second[1] == "lr=0.01" and first[2].startswith("0.0287 ± 0.001")
    said = " ".join(tuned_sentences(found))
    assert (
        "KL on the validation points of the other draws" in said
        and "Beside it, in NLL worse: 8; and in accuracy" in said
    )
    assert "At this budget: the lowest lr tried was chosen for 16, 8." in said


def test_levels_of_noise_have_limits_of_their_own(tmp_path):
    found = compare_tuned(sweep_of(tmp_path / "s", REGRETS, key="data.noise"))
    assert (
        not found.same_limit
        and [row.values for row in found.rows] == [(8,), (16,)]
        and differences(found, "nll") == [None, None]
    )
    assert len(tuned_table(found)[0]) == 4


def test_a_sweep_that_varies_no_training_has_no_such_section(tmp_path):
    assert compare_tuned(build([read_sweep(make_sweep(tmp_path / "s"))])) is None


def test_the_report_has_table_sentences_picture_and_page(tmp_path, capsys):
    more = {(32, rate): rows for (value, rate), rows in REGRETS.items() if value == 8}
    sweep_of(tmp_path / "s", REGRETS | more)
    assert main(["report", str(tmp_path / "s")]) == 0
    out, text = capsys.readouterr().out, (tmp_path / "s" / "sweep.md").read_text()
    assert (
        "Each after its own tuning:" in out
        and "## Each after its own tuning" in text
        and "| 16 | lr=0.01 (3 of 4) |" in text
    )
    assert (tmp_path / "s" / "figures" / "tuned.png").stat().st_size > 20_000
    assert "Each after its own tuning" in (tmp_path / "s" / "report.html").read_text()
