"""Runs and sweeps held against each other."""

import json

import numpy as np
import pytest
from matplotlib.text import Text
from scipy import stats
from sweep_folders import make_sweep, read_record

from mlplab.cli.app import main
from mlplab.errors import InputError
from mlplab.plots.side_by_side import curves_together, disagreement, side_by_side
from mlplab.report.paired import config_differences, mcnemar, pair_sweeps, paired_t, sign_test
from mlplab.runs.sweep_folder import read_sweep

# The statistics.


@pytest.mark.parametrize(("b", "c"), [(0, 0), (0, 1), (3, 3), (1, 9), (10, 25), (400, 500), (0, 2000)])
def test_the_sign_test_is_scipys_binomial_test(b, c):
    expected = stats.binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert sign_test(b, c) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_counts_and_its_interval_is_walds():
    generator = np.random.default_rng(1)
    first, second = generator.random(500) < 0.9, generator.random(500) < 0.8
    found = mcnemar(first.tolist(), second.tolist())
    assert (found.both, found.first, found.second, found.neither) == (
        (first & second).sum(),
        (first & ~second).sum(),
        (~first & second).sum(),
        (~first & ~second).sum(),
    )
    differences = first.astype(float) - second
    half = stats.norm.ppf(0.975) * differences.std() / np.sqrt(500)
    ends = (found.difference.low, found.difference.high)
    assert ends == pytest.approx((differences.mean() - half, differences.mean() + half), rel=1e-6)
    same = mcnemar([True, False], [True, False])
    assert same.difference.p == 1.0 and same.difference.low == same.difference.high == 0.0


def test_mcnemars_interval_covers_the_difference():
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        common = generator.random(800) < 0.85
        one, other = (
            np.where(generator.random(800) < 0.1, generator.random(800) < share, common) for share in (0.9, 0.7)
        )
        found = mcnemar(one.tolist(), other.tolist()).difference
        held += found.low <= 0.1 * 0.2 <= found.high
    assert 0.92 <= held / 400 <= 0.98


def test_pairs_are_students():
    values = np.random.default_rng(2).normal(0.3, 1, 9)
    found, known = paired_t(values.tolist()), stats.ttest_1samp(values, 0)
    interval = known.confidence_interval(0.95)
    assert (found.mean, found.low, found.high, found.p) == pytest.approx(
        (values.mean(), interval.low, interval.high, known.pvalue)
    )
    assert paired_t([1.0]).p is None and paired_t([0.0, 0.0]).p == 1.0 and paired_t([1.0, 1.0]).p == 0.0


def test_config_differences_leave_out_where_a_run_writes():
    one = {"seed": 0, "paths.logs": "/a", "model.width": 4, "name": "x"}
    assert config_differences([one, one | {"paths.logs": "/b", "name": "y"}]) == []
    assert config_differences([one, one | {"model.width": 8, "model.depth": 2}]) == [
        ("model.width", [4, 8]),
        ("model.depth", [None, 2]),
    ]


def two_sweeps(folder):
    first = make_sweep(folder / "a", (8, 16), (1,), (0, 1, 2, 3))
    second = make_sweep(folder / "b", (8, 16), (2,), (1, 2, 3, 4))
    return first, second


def test_sweeps_are_paired_by_seed_and_common_keys(tmp_path):
    first, second = two_sweeps(tmp_path)
    pairs, own = pair_sweeps(read_sweep(first), read_sweep(second))
    assert [pair.label for pair in pairs] == ["width=8", "width=16"] and own == []
    figures = [
        {
            job["swept"]["seed"]: job["result"]["fresh"]
            for job in read_record(folder)["jobs"]
            if job["swept"]["model.width"] == 8
        }
        for folder in (first, second)
    ]
    logs = [np.log(figures[0][seed]["nll"] / figures[1][seed]["nll"]) for seed in (1, 2, 3)]
    assert pairs[0].log_nll.mean == pytest.approx(np.mean(logs)) and pairs[0].accuracy.count == 3
    assert pairs[0].log_nll.p == pytest.approx(stats.ttest_1samp(logs, 0).pvalue)
    assert pairs[0].alone == 2


def test_the_command_on_sweeps(tmp_path, capsys):
    first, second = two_sweeps(tmp_path)
    assert main(["compare", str(first), str(second)]) == 0
    out = capsys.readouterr().out
    assert "width=16" in out and "pairs of one seed" in out and "no partner" in out
    assert max(map(len, out.splitlines()[3:6])) <= 80


@pytest.fixture
def logs(tmp_path):
    """Three runs of folders alone: two of the same data, one of other data; none has a checkpoint."""
    make_sweep(tmp_path / "logs" / "train", (8, 16, 32), (1,), (0,), maps=True)
    for place, folder in enumerate(sorted((tmp_path / "logs" / "train").glob("width*"))):
        versions = {"torch": "2.13" if place < 2 else "2.14"}
        (folder / "manifest.json").write_text(
            json.dumps({"data_sha256": str(place), "code_digest": "c", "versions": versions})
        )
    return tmp_path / "logs"


def test_the_command_on_runs_of_other_data_says_what_differs_and_why_there_is_no_test(logs, capsys):
    (logs / "train" / "sweep.json").unlink()
    names = [path.name for path in sorted((logs / "train").glob("width*"))]
    assert main(["compare", *names, f"paths.logs={logs}"]) == 0
    out = capsys.readouterr().out
    assert "model.width" in out and "data     differ" in out and "code     the same" in out and "torch" in out
    assert "no paired test, since their data differ" in out and "accuracy" in out
    folder = next((logs / "compare").iterdir())
    assert {path.name for path in folder.iterdir()} == {"maps.png", "curves.png", "compare.md"}


def test_two_trained_runs_get_mcnemars_test_on_their_fresh_points(tmp_path, capsys):
    small = ["data.points_per_arm=40", "data.validation_points=40", "data.fresh_points=500", "trainer.max_epochs=3"]
    for width in (4, 16):
        assert main(["train", f"paths.logs={tmp_path}", f"model.width={width}", "callbacks.progress=null", *small]) == 0
    capsys.readouterr()
    assert main(["compare", *map(str, sorted((tmp_path / "train").iterdir())), f"paths.logs={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert "on 500 fresh points" in " ".join(out.split()) and "McNemar's exact p" in out and "paired by point" in out
    accuracies = [
        json.loads((path / "result.json").read_text())["fresh"]["accuracy"]
        for path in sorted((tmp_path / "train").iterdir())
    ]
    assert f"{100 * (accuracies[0] - accuracies[1]):+.2f} [" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["best"], "two runs or two sweeps"),
        (["best", "data=moons"], "takes runs or sweeps"),
        (["nothing1", "nothing2"], "RUN must be"),
    ],
)
def test_bad_words_are_one_line(logs, capsys, words, message):
    assert main(["compare", *words, f"paths.logs={logs}"]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_run_twice_and_mixtures_are_refused(logs, capsys):
    run = str(next(path for path in sorted((logs / "train").iterdir()) if path.is_dir()))
    assert main(["compare", run, run]) == 2 and "given once" in capsys.readouterr().err
    assert main(["compare", run, str(logs / "train")]) == 2 and "either runs or sweeps" in " ".join(
        capsys.readouterr().err.split()
    )
    assert main(["compare", "--help"]) == 0


def test_the_map_of_disagreement_is_faded_where_two_agree():
    one = np.array([[[0.9, 0.1], [0.2, 0.8]]])
    other = np.array([[[0.7, 0.3], [0.9, 0.1]]])
    found = disagreement(one, other)
    assert np.allclose(found[0, 1], other[0, 1]) and abs(found[0, 0] - 0.5).max() < 0.05
    assert np.allclose(found.sum(-1), 1)


def test_maps_of_other_grids_are_refused(tmp_path):
    with pytest.raises(InputError, match="one shape"):
        side_by_side([np.full((4, 4, 2), 0.5), np.full((5, 5, 2), 0.5)], 1.0, names=("a", "b"), title="t")


def test_curves_of_several_lengths_share_a_chart():
    made = curves_together(
        {"A": ([1, 2], [1.0, 0.5], None), "B": ([1, 2, 3], [1.0, 0.5, 0.2], [1.0, 0.6, float("nan")])},
        title="t",
        bayes=0.1,
    )
    assert made.get_size_inches()[0] > 0
    words = [text.get_text() for text in made.findobj(Text)]
    assert {"A", "B", "Bayes limit", "epoch (log scale)"} <= {*words}  # each line has its name


def test_two_maps_of_a_table_have_its_columns_on_their_axes():
    grids = [np.full((4, 4, 2), 0.5)] * 2
    made = side_by_side(grids, 1.0, names=("a", "b"), title="t", axis_names=("petal length", "petal width"))
    words = [text.get_text() for text in made.findobj(Text)]
    assert {"petal length", "petal width", "where the two disagree"} <= {*words}
