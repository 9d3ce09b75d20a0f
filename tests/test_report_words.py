"""Reports that do not mislead: verdicts, diverged runs, intervals, data draws, searches and other studies."""

import json
import math

import numpy as np
import pytest
from scipy import special, stats
from sweep_folders import make_sweep, read_record, result, write_map, write_record, write_run

from mlplab.cli.app import main
from mlplab.errors import InputError
from mlplab.report import words
from mlplab.report.csv import runs_csv, settings_csv
from mlplab.report.effects import effects
from mlplab.report.intervals import Summary, summarise
from mlplab.report.joining import build
from mlplab.report.page import metrics_of
from mlplab.report.scales import difference, on_scale
from mlplab.report.search import Search, Trial, explained, importance, lead, read_search, together
from mlplab.runs.sweep_folder import read_sweep


def table_of(folder):
    return build([read_sweep(folder)])


def sweep_of(folder, errors, *, draws=None):
    """Write a sweep of settings (names to lists of a share of wrong answers; None diverged), one seed after another."""
    jobs = []
    for width, row in errors.items():
        for seed, error in enumerate(row):
            digest = f"{width * 1000 + seed:064x}"
            swept = {"model.width": width, "seed": seed} | ({"data.seed": draws[seed]} if draws else {})
            made = result(0.5 if error is None else error, seed=seed, config_digest=digest)
            if error is None:
                made["status"] = "diverged"
            name = f"width{width:04d}-seed{seed:04d}-{digest[-8:]}"
            write_run(folder / name, made, status=made["status"], width=width, seed=seed)
            jobs.append(
                {
                    "name": name,
                    "swept": swept,
                    "overrides": [],
                    "config_digest": digest,
                    "status": made["status"],
                    "error": "the loss was not finite at step 7" if error is None else None,
                    "result": made,
                }
            )
    write_record(folder, jobs)
    return folder


@pytest.mark.parametrize("seeds", [1, 2])
def test_under_three_seeds_there_is_no_verdict_and_it_is_said(tmp_path, seeds, capsys):
    folder = sweep_of(tmp_path / "s", {8: [0.5] * seeds, 16: [0.02] * seeds})
    table = table_of(folder)
    assert not table.verdict and table.near == [] and [one.best for one in table.settings] == [False, True]
    assert main(["report", str(folder)]) == 0
    text = (folder / "sweep.md").read_text()
    assert f"No verdict: with {seeds} seed" in text and "Not significantly" not in text and "~" not in text
    out = capsys.readouterr().out
    assert "No verdict" in out and "~" not in out


def test_with_three_seeds_there_is_one_with_ratio_interval_and_adjusted_p(tmp_path):
    rows = {8: [0.30, 0.31, 0.32], 16: [0.02, 0.021, 0.022], 32: [0.0208, 0.0218, 0.0211]}
    table = table_of(sweep_of(tmp_path / "s", rows))
    chosen, far = table.settings[1], table.settings[0]
    logs = {width: np.log(3 * np.array(values)) for width, values in rows.items()}
    p = [stats.ttest_ind(logs[k], logs[16], equal_var=False).pvalue for k in (8, 32)]
    assert chosen.best and far.p == pytest.approx(min(1, 2 * min(p)), rel=1e-9)
    found = stats.ttest_ind(logs[8], logs[16], equal_var=False).confidence_interval(0.95)
    assert (far.difference.low, far.difference.high) == pytest.approx((found.low, found.high), rel=1e-9)
    header, cells = words.people_table(table)
    assert header[:5] == ["width", "seeds", "validation NLL", "against the selected", "p"]
    assert (
        [row[0] for row in cells] == ["16", "32", "8"] and cells[0][3] == "selected" and cells[2][3].startswith("x 14")
    )
    assert cells[2][4] == "< 0.001"
    assert table.tested_over == "seeds" and "and p, over seeds; other" in words.legend(table)
    assert "p: over seeds; ±: standard deviation over seeds" in "\n".join(words.screen(table))
    too_low = "measured at its best epoch on validation points: its NLL on them is therefore too low"
    assert too_low in words.legend(table)
    for setting in table.settings:
        for job in setting.jobs:
            job.result["evaluated"] = "last"
    assert too_low not in words.legend(table)


def test_a_setting_with_too_few_seeds_is_said_to_have_them(tmp_path):
    table = table_of(sweep_of(tmp_path / "s", {8: [0.3, 0.31, 0.32], 16: [0.02, 0.021, 0.022], 32: [0.3, 0.4]}))
    assert "Of 1 setting with fewer than 3 seeds nothing is said." in words.near_words(table)
    assert words.ratio_words(table.settings[2]) == "too few"


def test_a_diverged_seed_counts_and_keeps_its_setting_from_being_selected(tmp_path, capsys):
    folder = sweep_of(tmp_path / "s", {8: [0.01, 0.011, 0.012, None], 16: [0.02, 0.021, 0.022, 0.023]})
    table = table_of(folder)
    assert table.settings[1].best and not table.settings[0].near and table.ranked[-1] is table.settings[0]
    assert words.count_words(table.settings[0]) == "3 of 4; 1 diverged"
    assert any("of which a run diverged rank after the others" in note for note in table.notes)
    main(["report", str(folder)])
    assert "3 of 4; 1 diverged" in capsys.readouterr().out


def test_where_every_setting_diverges_now_and_then_the_best_of_them_is_selected(tmp_path):
    table = table_of(sweep_of(tmp_path / "s", {8: [0.01, 0.011, 0.012, None], 16: [0.02, 0.021, 0.022, None]}))
    assert table.settings[0].best and table.verdict


def test_reasons_are_whole(tmp_path):
    folder = make_sweep(tmp_path / "s")
    jobs = read_record(folder)["jobs"]
    long = "ValueError: " + "a long reason " * 40
    jobs[0] |= {"status": "failed", "result": None, "error": f"Traceback (most recent call last):\n  File x\n{long}"}
    write_record(folder, jobs)
    (line,) = words.failures(table_of(folder))
    assert " ".join(long.split()) in line and "File x" not in line


@pytest.mark.parametrize(
    "values", [[0.99, 1.0], [0.5, 1.0], [0.999, 0.9999, 0.9], [1.0, 1.0], [0.0, 0.01], [0.0, 0.0], [0.97, 0.9705]]
)
def test_intervals_of_shares_stay_within_0_and_1_and_hold_the_mean(values):
    found = on_scale(summarise(values), "logit")
    assert 0 <= found.low <= found.mean <= found.high <= 1
    plain = summarise(values)
    assert (found.mean, found.sd, found.count) == (plain.mean, plain.sd, plain.count)
    if max(values) - min(values) < 0.001:
        assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=1e-3)


def test_the_scales_are_the_delta_method():
    summary = summarise([0.7, 0.8, 0.84])
    half, mean = summary.high - summary.mean, summary.mean
    ends = special.expit(special.logit(mean) + np.array([-1, 1]) * half / mean / (1 - mean))
    assert (on_scale(summary, "logit").low, on_scale(summary, "logit").high) == pytest.approx(tuple(ends))
    ends = np.exp(np.log(mean) + np.array([-1, 1]) * half / mean)
    assert (on_scale(summary, "log").low, on_scale(summary, "log").high) == pytest.approx(tuple(ends))
    assert on_scale(summary, None) is summary and on_scale(None, "log") is None
    assert on_scale(summarise([3.0]), "log").low is None
    assert math.isfinite(on_scale(summarise([1e-9, 6e11]), "log").high)


def test_differences_are_welchs():
    generator = np.random.default_rng(3)
    for sizes in ((3, 3), (3, 9), (20, 4)):
        one, other = (generator.normal(k, 1 + k, size) for k, size in enumerate(sizes))
        found = difference(summarise(one), summarise(other))
        known = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((known.low, known.high))
    assert difference(Summary(3, 1.0, 0.0, 1.0, 1.0), Summary(3, 0.5, 0.0, 0.5, 0.5)).low == 0.5


def test_runs_of_one_draw_count_as_one_number(tmp_path):
    values = [0.02, 0.022, 0.04, 0.044, 0.03, 0.036]
    table = table_of(sweep_of(tmp_path / "s", {8: values}, draws=[1, 1, 2, 2, 3, 3]))
    found = table.settings[0].log_nll
    draws = np.log(3 * np.array(values)).reshape(3, 2).mean(1)
    assert (
        found.count == 3 and found.mean == pytest.approx(draws.mean()) and found.sd == pytest.approx(draws.std(ddof=1))
    )
    assert any("over draws" in note for note in table.notes) and table.draws


def test_one_draw_of_the_data_is_said_to_be_one(tmp_path):
    assert any("data were drawn once" in note for note in table_of(make_sweep(tmp_path / "s")).notes)


def test_two_draws_are_no_verdict_however_many_seeds(tmp_path):
    rows = {8: [0.02 + 0.001 * k for k in range(20)], 16: [0.04 + 0.001 * k for k in range(20)]}
    table = table_of(sweep_of(tmp_path / "s", rows, draws=[k % 2 for k in range(20)]))
    assert not table.verdict and "2 data draws" in words.near_words(table)


def test_effects_are_the_analysis_of_variance(tmp_path):
    table = table_of(make_sweep(tmp_path / "s", (8, 16, 32), (1, 2), seeds=range(3)))
    cells = np.array([setting.log_nll.mean for setting in table.settings]).reshape(3, 2)
    total = ((cells - cells.mean()) ** 2).sum()
    width = 2 * ((cells.mean(1) - cells.mean()) ** 2).sum() / total
    (line,) = effects(table)
    assert f"width {100 * width:.0f} %" in line and "depth" in line and "interaction" in line
    assert not effects(table_of(make_sweep(tmp_path / "t", (8, 16), (1,))))


def test_interaction_is_said_in_words(tmp_path):
    folder = make_sweep(tmp_path / "s", (8, 16), (1, 2), seeds=range(3))
    record = read_record(folder)
    for job in record["jobs"]:
        same = (job["swept"]["model.width"] == 8) == (job["swept"]["model.depth"] == 1)
        job["result"]["validation"]["nll"] = (0.1 if same else 0.4) * (1 + 0.01 * job["swept"]["seed"])
    write_record(folder, record["jobs"])
    assert "act together" in effects(table_of(folder))[0]


@pytest.fixture
def search(tmp_path):
    folder = make_sweep(tmp_path / "search", (8, 16, 32), (1, 2, 3, 4), (0,), maps=True)
    jobs = read_record(folder)["jobs"]
    trials = [
        {
            "number": k,
            "state": "complete",
            "values": {"validation/nll": job["result"]["validation"]["nll"], "parameters": job["parameters"]},
            "overrides": [f"{key}={value}" for key, value in job["swept"].items()],
            "folder": job["name"],
            "status": "finished",
            "error": None,
        }
        for k, job in enumerate(jobs)
    ]
    trials.append(dict(trials[0], number=99, state="failed", values={"validation/nll": None, "parameters": None}))
    record = {
        "format": 1,
        "objective": {"validation/nll": "minimize", "parameters": "minimize"},
        "sampler": "tpe",
        "space": ["model.width=choice(8,16,32)", "model.depth=range(1,5)", "optimizer.lr=tag(log,interval(1e-4,1e-1))"],
        "fixed": [],
        "counts": {"complete": 12, "failed": 1, "open": 0},
        "best": [0],
        "trials": trials,
    }
    (folder / "search.json").write_text(json.dumps(record))
    return folder


def test_a_search_has_its_own_figures_and_words(search, capsys):
    assert main(["report", str(search)]) == 0
    out = capsys.readouterr().out
    assert "A search (tpe) over width, depth, lr" in out and "± standard error" in out
    assert {path.stem for path in (search / "figures").iterdir()} == {
        "search_history",
        "search_keys",
        "decision_maps",
        "front",
    }
    text = (search / "sweep.md").read_text()
    assert "Figures left out" in text and "tried once" in text and "are on the front" in text


def test_the_front_and_the_ranking_are_those_of_brute_force(search):
    found = read_search(search)
    assert len(found.trials) == 12 and found.logarithmic == {"optimizer.lr"}
    values = np.array([trial.values for trial in found.trials])
    expected = [k for k, one in enumerate(values) if not any(np.all(o <= one) and np.any(o < one) for o in values)]
    assert [trial.number for trial in found.front()] == expected
    assert found.ranked()[0].values[0] == values[:, 0].min()


def test_two_keys_that_act_together_are_found():
    generator = np.random.default_rng(3)
    keys = [{"a": float(a), "b": float(b), "c": float(c)} for a, b, c in generator.uniform(-1, 1, (120, 3))]

    def of(f):
        return Search(
            {"nll": "minimize"},
            ["a", "b", "c"],
            set(),
            [Trial(k, at, [f(at) + 0.05 * generator.normal()], None) for k, at in enumerate(keys)],
        )

    first, second, share, error = together(of(lambda at: at["a"] * at["b"] + 0.2 * at["c"]))
    assert {first, second} == {"a", "b"} and share > 0.3 and 0 < error < 0.15
    assert any("what one does depends on the other" in line for line in lead(of(lambda at: at["a"] * at["b"])))
    assert any("No two keys" in line for line in lead(of(lambda at: at["a"] + at["b"])))
    few = of(lambda at: at["a"])
    few.trials = few.trials[:29]
    assert together(few) is None


def test_importance_finds_what_counts_and_tells_its_error(search):
    found = importance(read_search(search))
    assert set(found) == {"model.width", "model.depth", "optimizer.lr"}
    assert all(0 <= share <= 1 and error >= 0 for share, error in found.values())
    assert found["optimizer.lr"][0] == 0 and found["model.width"][0] > 0.1
    groups = np.repeat(np.arange(4), 25)
    noise = np.random.default_rng(0).normal(size=100)
    assert explained(groups + 0.01 * noise, groups) > 0.99 and explained(noise, groups) < 0.1


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"objective": {}, "space": [], "trials": [1], "counts": {}, "sampler": "x"}']
)
def test_a_damaged_search_is_one_line(search, content):
    (search / "search.json").write_text(content)
    with pytest.raises(InputError, match="damaged"):
        read_search(search)


def study_sweep(folder, results, keys):
    jobs = []
    for number, (values, made) in enumerate(results):
        digest = f"{number:064x}"
        name = f"job-{digest[-8:]}"
        write_run(folder / name, None)
        made = {"status": "finished", "config_digest": digest, **made}
        (folder / name / "result.json").write_text(json.dumps(made))
        jobs.append(
            {
                "name": name,
                "swept": dict(zip(keys, values)),
                "overrides": [],
                "config_digest": digest,
                "status": "finished",
                "result": made,
            }
        )
    write_record(folder, jobs, study="mlplab.studies.relu.study:relu_approximation")
    return folder


def test_a_study_of_one_unit_has_its_numbers_and_a_figure(tmp_path, capsys):
    results = [
        ((neuron, i), {"mean_rate_hz": 100.0 * i * (neuron == "relu"), "neurons": 1})
        for neuron in ("explorer", "relu")
        for i in (0.5, 1, 2)
    ]
    folder = study_sweep(tmp_path / "s", results, ["neuron", "input.current_ma"])
    assert main(["report", str(folder)]) == 0
    out = capsys.readouterr().out
    assert (
        "which 6 finished" in out
        and "No run has finished" not in out
        and "mean rate hz" in out
        and "neurons" not in out
    )
    assert [path.name for path in (folder / "figures").iterdir()] == ["measured.png"]
    assert "| 200 |" in (folder / "sweep.md").read_text()


def test_a_study_of_methods_tells_the_errors_of_its_rows(tmp_path, capsys):
    results = [
        ((n,), {"rows": [{"method": "minimax", "n": n, "max_error": 0.1 / n, "rms_error": 0.05 / n, "floor": None}]})
        for n in (4, 8, 16)
    ]
    folder = study_sweep(tmp_path / "s", results, ["n"])
    assert main(["report", str(folder)]) == 0
    assert "max error" in capsys.readouterr().out and "0.00625" in (folder / "sweep.md").read_text()


def test_five_keys_categories_and_one_setting_each_have_a_whole_report(tmp_path, capsys):
    jobs = []
    keys = ["model.width", "model.depth", "model.activation", "optimizer.lr", "data.batch_size", "seed"]
    for number, values in enumerate(
        (w, d, a, lr, b, s)
        for w in (8, 16)
        for d in (1, 2)
        for a in ("relu", "tanh")
        for lr in (0.01, 0.1)
        for b in (32, 64)
        for s in (0, 1, 2)
    ):
        digest = f"{number:064x}"
        name = f"job-{digest[-8:]}"
        made = result(0.01 + 0.001 * (number % 17), seed=values[-1], config_digest=digest)
        write_run(tmp_path / "s" / name, made)
        write_map(tmp_path / "s" / name)
        jobs.append(
            {
                "name": name,
                "swept": dict(zip(keys, values)),
                "overrides": [],
                "config_digest": digest,
                "status": "finished",
                "result": made,
            }
        )
    write_record(tmp_path / "s", jobs)
    assert main(["report", str(tmp_path / "s")]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines()[:14])) <= 80
    names = {path.stem for path in (tmp_path / "s" / "figures").iterdir()}
    assert {"heat_map", "decision_maps", "learning_curves", "ranking"} <= names
    one = sweep_of(tmp_path / "one", {8: [0.1]})
    assert main(["report", str(one)]) == 0
    assert "No ranking: there is one setting." in (one / "sweep.md").read_text()


def test_a_heat_map_of_holes_is_left_out_with_its_reason(tmp_path, capsys):
    jobs = []
    for number in range(12):
        digest = f"{number:064x}"
        made = result(0.02 + 0.001 * number, config_digest=digest)
        write_run(tmp_path / "s" / f"job-{digest[-8:]}", made)
        jobs.append(
            {
                "name": f"job-{digest[-8:]}",
                "swept": {"model.width": number, "optimizer.lr": 0.1 / (number + 1)},
                "overrides": [],
                "config_digest": digest,
                "status": "finished",
                "result": made,
            }
        )
    write_record(tmp_path / "s", jobs)
    main(["report", str(tmp_path / "s")])
    assert "No heat map: of the 144 pairs" in (tmp_path / "s" / "sweep.md").read_text()


def test_last_and_a_name_find_the_sweep(tmp_path, capsys, monkeypatch):
    from mlplab.report import report

    folder = make_sweep(tmp_path / "logs" / "sweep" / "mine")
    monkeypatch.setattr(report, "logs_folder", lambda: tmp_path / "logs")
    for given in (["last"], ["sweep=last"], ["mine"], ["sweep=mine"]):
        (folder / "sweep.md").unlink(missing_ok=True)
        assert main(["report", *given]) == 0 and (folder / "sweep.md").exists()


def test_accuracy_does_not_stand_alone_in_reports_where_classes_are_unequal(tmp_path):
    """Balanced accuracy, F1 and AUROC are columns for people, in both CSV files and on the page, and only there."""
    for name, confusion in (("rare", [[194, 1], [3, 2]]), ("equal", [[99, 1], [2, 98]])):
        folder = sweep_of(tmp_path / name, {8: [0.02, 0.03, 0.04], 16: [0.02, 0.025, 0.03]})
        for path in folder.glob("*/result.json"):
            made = json.loads(path.read_text())
            made["test"] |= {"confusion": confusion, "balanced_accuracy": 0.7, "f1_macro": 0.75, "auroc": 0.9}
            path.write_text(json.dumps(made))
        (folder / "sweep.json").unlink()
        table = table_of(folder)
        header, rows = words.people_table(table)
        named = {"balanced accuracy, %", "F1, %", "AUROC, %"} & set(header)
        columns = [text.splitlines()[0] for text in (settings_csv(table), runs_csv(table))]
        labels = {metric["key"] for metric in metrics_of(table)}
        if name == "equal":
            assert not named and not any("f1_macro" in line for line in columns) and "test/auroc" not in labels
            continue
        assert len(named) == 3 and all(row[header.index("AUROC, %")].startswith("90") for row in rows)
        assert "test/f1_macro/mean" in columns[0] and "test/balanced_accuracy" in columns[1] and "test/auroc" in labels
