"""From a file to a network to other files: train, evaluate on all rows, predict, and what is refused."""

import csv
import json

import numpy as np
import pytest

from mlplab.cli import app
from mlplab.cli.train import metric_lines, note_lines, recall_line


def write(path, x, y, names=("a", "b", "kind"), words=("low", "high")):
    rows = [
        [f"{value:.4f}" for value in row] + ([] if y is None else [words[k]])
        for row, k in zip(x, y if y is not None else x)
    ]
    path.write_text("\n".join(",".join(row) for row in [list(names), *rows]) + "\n")
    return path


def clouds(count, seed):
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 2
    return rng.normal(size=(count, 2)) * [1, 100] + np.stack([3.0 * y, 300 * y], 1), y


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("files")
    path = write(place / "train.csv", *clouds(120, 0))
    words = [
        "train",
        "data=file",
        f"data.path={path}",
        f"paths.logs={place / 'logs'}",
        "name=run",
        "trainer.max_epochs=30",
        "model.width=8",
        "optimizer.lr=0.05",
    ]
    assert app.main(words) == 0
    return place


def test_the_result_says_how_the_file_was_read_and_what_simple_classifiers_reach(run):
    result = json.loads((run / "logs" / "train" / "run" / "result.json").read_text())
    assert result["class_names"] == ["high", "low"] and result["feature_names"] == ["a", "b"]
    assert result["data"]["preparation"]["columns"] == ["a", "b"] and len(result["data"]["sha256"]) == 64
    assert result["test"]["accuracy"] > 0.9 and result["baselines"]["majority"]["accuracy"] == 0.5
    assert {"balanced_accuracy", "f1_macro", "auroc", "recall", "confusion"} <= result["test"].keys()
    config = (run / "logs" / "train" / "run" / "config.yaml").read_text()
    assert f"path: {run / 'train.csv'}" in config and f"file_sha256: {result['data']['sha256']}" in config


def test_evaluate_measures_all_rows_whatever_the_order_of_columns(run, capsys):
    folder, logs = run / "logs" / "train" / "run", f"paths.logs={run / 'logs'}"
    assert app.main(["evaluate", str(folder)]) == 0
    x, y = clouds(300, 1)
    write(run / "new.csv", x, y)
    write(run / "swapped.csv", x[:, ::-1], y, ("b", "a", "kind"))
    seen = []
    for name in ("new.csv", "swapped.csv"):
        capsys.readouterr()
        assert app.main(["evaluate", str(folder), f"data.path={run / name}", logs]) == 0
        out = capsys.readouterr().out
        assert f"all rows of {name}" in out and " 300" in out
        where = (
            run / "logs" / "evaluate" / next(line.rpartition("/")[2] for line in out.splitlines() if "folder" in line)
        )
        seen.append(json.loads((where / "result.json").read_text())["test"])
        assert (where / "figures" / "evaluation.png").stat().st_size > 10_000
    assert seen[0] == seen[1] and seen[0]["points"] == 300 and seen[0]["accuracy"] > 0.9


def test_predict_writes_a_row_a_row_without_labels(run, capsys):
    folder = run / "logs" / "train" / "run"
    x, y = clouds(50, 2)
    write(run / "bare.csv", x[:, ::-1], None, ("b", "a"))
    assert app.main(["predict", str(folder), f"data.path={run / 'bare.csv'}", f"output={run / 'out.csv'}"]) == 0
    assert "50 rows of bare.csv" in capsys.readouterr().out
    rows = list(csv.DictReader((run / "out.csv").read_text().splitlines()))
    assert list(rows[0]) == ["row", "predicted", "p(high)", "p(low)"] and [int(row["row"]) for row in rows] == list(
        range(1, 51)
    )
    predicted = [row["predicted"] for row in rows]
    assert np.mean([word == ("low", "high")[k] for word, k in zip(predicted, y)]) > 0.85
    for row in rows:
        shares = {name: float(row[f"p({name})"]) for name in ("high", "low")}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5) and max(shares, key=shares.get) == row["predicted"]
    assert app.main(["predict", str(folder), f"data.path={run / 'bare.csv'}", f"paths.logs={run / 'other'}"]) == 0
    assert len(list((run / "other" / "predict").iterdir())) == 1


def test_what_cannot_be_is_one_line(run, capsys):
    folder = str(run / "logs" / "train" / "run")
    (run / "few.csv").write_text("a,kind\n1,low\n")
    (run / "odd.csv").write_text("a,b,kind\n1,2,low\n1,2,middle\n")
    write(run / "good.csv", *clouds(4, 3))
    for words, part in (
        (["predict"], "predict must be given a run folder"),
        (["predict", folder], "must be given data.path"),
        (["predict", folder, "data.path=/no/such.csv"], "data.path must name a file that exists"),
        (["predict", folder, f"data.path={run / 'few.csv'}"], "b not among a, kind"),
        (["predict", folder, f"data.path={run / 'good.csv'}", "seed=3"], "predict takes data.path"),
        (["predict", folder, f"data.path={run / 'good.csv'}", "data.label=a"], "only data.separator"),
        (["evaluate", folder, f"data.path={run / 'odd.csv'}"], "got 'middle'"),
    ):
        capsys.readouterr()
        assert app.main(words) == 2, words
        error = capsys.readouterr().err
        assert part in error and error.count("\n") == 1, error


def test_a_file_that_changed_is_refused_and_another_run(run, tmp_path, capsys):
    path = write(tmp_path / "d.csv", *clouds(100, 5))
    train = [
        "train",
        "data=file",
        f"data.path={path}",
        f"paths.logs={tmp_path / 'logs'}",
        "trainer=debug",
        "figures=none",
    ]
    assert app.main(train) == 0
    ((first),) = (tmp_path / "logs" / "train").iterdir()
    write(path, *clouds(100, 6))
    capsys.readouterr()
    for words in (["evaluate", str(first)], ["train", f"resume={first}"]):
        assert app.main(words) == 2
        assert "is another file than the one this run was made of" in capsys.readouterr().err
    assert app.main(train) == 0
    assert len(list((tmp_path / "logs" / "train").iterdir())) == 2


FIGURES = {
    "accuracy": 0.98,
    "nll": 0.1,
    "bayes_accuracy": None,
    "points": 100,
    "balanced_accuracy": 0.5,
    "f1_macro": 0.49,
    "auroc": None,
    "recall": [1.0, 0.0],
    "confusion": [[98, 0], [2, 0]],
}


def test_accuracy_does_not_stand_alone_where_classes_are_unequal(monkeypatch):
    lines = metric_lines(
        {"test": FIGURES, "class_names": ["no", "yes"], "baselines": {"majority": {"accuracy": 0.98, "nll": 0.1}}}
    )
    assert "balanced" in lines[0] and "50.00 %" in lines[1] and "majority class" in lines[2]
    assert lines[-1] == "found of each class: yes 0.0 % of 2, no 100.0 % of 98"
    equal = FIGURES | {"confusion": [[50, 0], [50, 0]]}
    assert "balanced" not in "".join(metric_lines({"test": equal}))
    assert recall_line([None, 1.0], [[0, 0], [0, 3]], None) == "found of each class: class 1 100.0 % of 3"
    monkeypatch.setattr("mlplab.cli.train.find_spec", lambda name: None)
    told = note_lines({"data": {"notes": ["n"], "class_names": ["a", "b"]}, "baselines": {"majority": {}}})
    assert told[0] == "note: n" and told[1].startswith("note: scikit-learn adds simple classifiers to compare with: ")
    assert told[1].endswith("-m pip install 'mlplab[files]'")


def test_a_sweep_whose_file_changed_runs_again_and_is_not_averaged(tmp_path, capsys):
    path = write(tmp_path / "d.csv", *clouds(60, 7))
    words = [
        "train",
        "-m",
        "data=file",
        f"data.path={path}",
        f"paths.logs={tmp_path / 'logs'}",
        "trainer=debug",
        "figures=none",
        "logger=none",
        "sweep=s",
        "launcher=inline",
    ]
    assert app.main([*words, "seed=0,1"]) == 0
    write(path, *clouds(60, 8))
    assert app.main([*words, "seed=0,1"]) == 0
    ((sweep),) = tmp_path.glob("logs/*/s")
    assert len([folder for folder in sweep.iterdir() if (folder / "result.json").exists()]) == 4
    capsys.readouterr()
    assert app.main(["report", str(sweep)]) == 0
    out = capsys.readouterr().out
    assert "content of the data file changed between runs" in " ".join(out.split())
    rows = list(csv.DictReader((sweep / "runs.csv").read_text().splitlines()))
    assert len({row["data.file_sha256"] for row in rows}) == 2 and len(rows) == 4
