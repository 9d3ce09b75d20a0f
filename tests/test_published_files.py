"""Files as their authors published them, each kind in a small one of exactly that form: trained without a change."""

import json

import numpy as np
import pytest

from mlplab.cli import app

RNG = np.random.default_rng(0)
Y2, Y3, Y4, Y6 = (np.arange(90) % classes for classes in (2, 3, 4, 6))


def rows(y, form, values=3):
    """Write a line a row: ``form`` takes the row's number, its class and a list of numbers that depend on it."""
    x = RNG.normal(size=(len(y), values)) + 2.0 * np.asarray(y)[:, None]
    return [form(i, int(k), [float(v) for v in row]) for i, (k, row) in enumerate(zip(y, x))]


def joined(separator, spec=".3f"):
    return lambda i, k, v: separator.join([*(format(value, spec) for value in v), str(k)])


# What it stands for -> name of the file, its lines, and what it says of itself: label, classes, features, further options.
FILES = {
    "two spirals, with a header": (
        "spirals.csv",
        ["x,y,label", *rows(Y2, joined(",", ".6f"), 2)],
        ("label", ["0", "1"], 2),
    ),
    "two spirals in exponents with -1 and 1, no header": (
        "spiral.txt",
        rows(Y2, lambda i, k, v: f"{v[0]:e},{v[1]:e},{2 * k - 1:e}"),
        ("x3", ["-1", "1"], 2),
    ),
    "banknotes: commas, no header": (
        "data_banknote_authentication.txt",
        rows(Y2, joined(",", ".5g"), 4),
        ("x5", ["0", "1"], 4),
    ),
    "heart: whole numbers and one of fractions, the label called target": (
        "heart.csv",
        [
            "\ufeffage,sex,cp,oldpeak,target",
            *rows(Y2, lambda i, k, v: f"{40 + i % 30},{i % 2},{i % 4},{abs(v[0]):.1f},{k}"),
        ],
        ("target", ["0", "1"], 4),
    ),
    "heart: blanks, no header, labels 1 and 2": (
        "heart.dat",
        rows(Y2, lambda i, k, v: f"{40 + i % 30}.0 1.0 {v[0]:.1f} {k + 1} "),
        ("x4", ["1", "2"], 3),
    ),
    "wine quality: semicolons, quoted names, decimal points, classes 3 to 8": (
        "winequality-red.csv",
        [
            '"fixed acidity";"volatile acidity";"alcohol";"quality"',
            *rows(Y6, lambda i, k, v: f"{v[0]:.1f};{v[1]:.2f};{v[2]:.1f};{k + 3}"),
        ],
        ("quality", ["3", "4", "5", "6", "7", "8"], 3),
    ),
    "wine of three growers: the label first, no header, the last column whole numbers": (
        "wine.data",
        rows(Y3, lambda i, k, v: f"{k + 1},{v[0]:.2f},{v[1]:.2f},{400 + 7 * i}"),
        ("x1", ["1", "2", "3"], 3),
    ),
    "iris: names, no header, an empty line at the end": (
        "iris.data",
        [
            *rows(
                Y3, lambda i, k, v: f"{v[0]:.1f},{v[1]:.1f},{('Iris-setosa', 'Iris-versicolor', 'Iris-virginica')[k]}"
            ),
            "",
        ],
        ("x3", ["Iris-setosa", "Iris-versicolor", "Iris-virginica"], 2),
    ),
    "moons: the label first, no header": (
        "moon_data_train.csv",
        rows(Y2, lambda i, k, v: f"{k},{v[0]},{v[1]}"),
        ("x1", ["0", "1"], 2),
    ),
    "circle: floats for labels": (
        "circle.csv",
        ["X,Y,Class", *rows(Y2, lambda i, k, v: f"{v[0]:.8f},{v[1]:.8f},{float(k)}")],
        ("Class", ["0", "1"], 2),
    ),
    "spiral: an index with a name, five classes": (
        "spiral.csv",
        ["index,x,y,color", *rows(np.arange(90) % 5, lambda i, k, v: f"{i},{v[0]},{v[1]},c{k}")],
        ("color", ["c0", "c1", "c2", "c3", "c4"], 2),
    ),
    "glass: numbered rows, no header, classes with a gap": (
        "glass.data",
        rows(Y4, lambda i, k, v: f"{i + 1},{v[0]:.5f},{v[1]:.2f},{(1, 2, 3, 7)[k]}"),
        ("x4", ["1", "2", "3", "7"], 2),
    ),
    "diabetes: whole numbers, the label called Outcome": (
        "diabetes.csv",
        ["Pregnancies,Glucose,BMI,Outcome", *rows(Y2, lambda i, k, v: f"{i % 9},{90 + i % 50},{v[0]:.1f},{k}")],
        ("Outcome", ["0", "1"], 3),
    ),
    "wifi: tabs, no header, negative whole numbers": (
        "wifi_localization.txt",
        rows(Y4, lambda i, k, v: "\t".join(f"{-40 - int(10 * w)}" for w in v) + f"\t{k + 1}"),
        ("x4", ["1", "2", "3", "4"], 3),
    ),
    "anes96: tabs, quoted names": (
        "anes96.csv",
        ['"popul"\t"TVnews"\t"age"\t"vote"', *rows(Y2, lambda i, k, v: f"{i % 40}\t{i % 7}\t{20 + i % 60}\t{k}")],
        ("vote", ["0", "1"], 3),
    ),
    "spector: few rows, numbered, under a name": (
        "spector.csv",
        ["OBS,GPA,TUCE,PSI,GRADE", *rows(Y2[:32], lambda i, k, v: f"{i + 1},{v[0]:.2f},{20 + i % 9},{i % 2},{k}")],
        ("GRADE", ["0", "1"], 3),
    ),
    "vertebral column: blanks, no header, names": (
        "column_2C.dat",
        rows(Y2, lambda i, k, v: f"{v[0]:.2f} {v[1]:.2f} {v[2]:.2f} {('AB', 'NO')[k]}"),
        ("x4", ["AB", "NO"], 3),
    ),
    "an export of the playground: -1 and 1 under a header": (
        "playground.csv",
        ["x,y,label", *rows(Y2, lambda i, k, v: f"{v[0]!r},{v[1]!r},{2 * k - 1}")],
        ("label", ["-1", "1"], 2),
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_published_file_trains_without_a_change(tmp_path, kind, capsys):
    name, lines, (label, classes, features) = FILES[kind]
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = [
        "train",
        "data=file",
        f"data.path={path}",
        f"paths.logs={tmp_path / 'logs'}",
        "name=run",
        "trainer.max_epochs=2",
        "model.width=8",
        "figures=map",
        "logger=none",
        "callbacks.decision_maps.resolution=16",
    ]
    assert app.main(words) == 0, capsys.readouterr().err
    run = tmp_path / "logs" / "train" / "run"
    result = json.loads((run / "result.json").read_text())
    assert (result["data"]["label"], result["class_names"], len(result["feature_names"])) == (label, classes, features)
    parts = [result[part]["points"] for part in ("train", "validation", "test")]
    header = not label.startswith("x")
    assert sum(parts) == len([line for line in lines if line]) - header
    assert (run / "figures" / "decision_map.png").stat().st_size > 0
    assert f"the label is '{label}'" in capsys.readouterr().out
