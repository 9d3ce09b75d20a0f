"""Figures drawn again from saved arrays: other formats, sizes and titles."""

import csv
import re
import zlib

import numpy as np
import pytest
from sweep_folders import result, write_run

from mlplab.cli import redraw as command
from mlplab.cli.app import main
from mlplab.errors import InputError
from mlplab.plots.run_figures import Saved
from mlplab.plots.style import vector_bytes
from mlplab.report.redraw import FIGURES, read_saved, redraw
from mlplab.runs.folder import RunFolder


@pytest.fixture
def run(tmp_path):
    """A run with everything that a trained one saves."""
    folder = tmp_path / "train" / "spiral-16-seed0-12345678"
    write_run(folder, result(0.1, evaluated="best"), width=16)
    (folder / "figures").mkdir()
    generator = np.random.default_rng(0)
    grid = generator.dirichlet(np.ones(3), (24, 24)).astype(np.float32)
    points = generator.uniform(-1, 1, (40, 2))
    probabilities = generator.dirichlet(np.ones(3), 40)
    labels = generator.integers(3, size=40)
    epochs = np.arange(1.0, 21)
    arrays = {
        "map": grid,
        "extent": np.array([-1.5, 1.5, -1.5, 1.5]),
        "points": points,
        "labels": labels,
        "predicted": probabilities.argmax(1),
        "box": np.array([[-1, -1], [1, 1]]),
        "class_names": np.array(["ant", "bee", "cat"]),
        "axis_names": np.array(["length", "weight"]),
        "bayes_map": grid,
        "maps": np.stack([grid] * 3).astype(np.float16),
        "map_epochs": np.array([0, 5, 20]),
        "test_probabilities": probabilities,
        "history/epoch": epochs,
        "history/train/loss": 1 / epochs,
        "history/val/loss": 1.2 / epochs,
        "history/train/accuracy": 1 - 0.3 / epochs,
        "history/val/accuracy": 1 - 0.4 / epochs,
        "projection/map": grid,
        "projection/extent": np.array([-2, 2, -1, 1.0]),
        "projection/points": points,
        "projection/box": np.array([[-1, -1], [1, 1]]),
        "projection/axis_names": np.array(["p", "q"]),
        "matrix/values": points,
        "matrix/labels": labels,
        "matrix/predicted": probabilities.argmax(1),
        "matrix/names": ["a", "b"],
        "images": generator.random((40, 5, 4)),
        "first_layer": generator.normal(size=(3, 5, 4)),
    }
    np.savez(folder / "figures" / "arrays.npz", **arrays)
    return RunFolder(folder)


def test_every_figure_in_every_format_and_the_same_bytes_again(run, tmp_path):
    files, left_out = redraw(run, None, ["png", "svg", "pdf"], place=tmp_path / "out")
    assert len(files) == 3 * len(FIGURES) and not left_out
    heads = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    assert all(path.read_bytes().startswith(heads[path.suffix[1:]]) for path in files)
    before = {path: path.read_bytes() for path in files}
    again, _ = redraw(run, list(FIGURES)[4:5], ["png", "svg", "pdf"], place=tmp_path / "out")
    assert len(again) == 3 and all(path.read_bytes() == data for path, data in before.items())


def table(path, features):
    """A CSV of three classes that lie apart."""
    rng = np.random.default_rng(0)
    rows = [[*(rng.normal(size=features) + n % 3), "uvw"[n % 3]] for n in range(120)]
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([[*(f"f{j}" for j in range(features)), "kind"], *rows])
    return ["data=file", f"data.path={path}", "data.batch_size=16"]


def images(path):
    y = np.arange(120) % 3
    np.savez(path, x=np.random.default_rng(0).random((120, 5, 4)) + y[:, None, None], y=y)
    return ["data=file", f"data.path={path}", "data.batch_size=16"]


SPIRALS = ["data.points_per_arm=60", "data.validation_points=40", "data.fresh_points=50"]
ONE_PLANE = {"decision_map", "learning_strip", "learning_curves", "calibration"}


@pytest.mark.parametrize(
    ("words", "drawn"),
    [
        (lambda _: SPIRALS, ONE_PLANE | {"bayes"}),
        (lambda _: [*SPIRALS, "trainer.engine=lightning"], ONE_PLANE | {"bayes"}),
        (lambda _: [*SPIRALS, "evaluate_state=last", "data.fresh_points=0"], ONE_PLANE | {"bayes"}),
        (lambda _: [*SPIRALS, "figures=map"], {"decision_map"}),
        (lambda place: table(place / "two.csv", 2), ONE_PLANE),
        (lambda place: table(place / "four.csv", 4), ONE_PLANE | {"projection", "scatter_matrix"}),
        (
            lambda place: images(place / "images.npz"),
            {"learning_curves", "calibration", "projection", "errors", "first_layer"},
        ),
    ],
)
def test_what_a_run_draws_is_drawn_again_to_the_byte(words, drawn, tmp_path):
    more = ["trainer.max_epochs=2", "model.width=5", "callbacks.progress=null", "callbacks.decision_maps.resolution=8"]
    assert main(["train", *words(tmp_path), *more, "logger=none", f"paths.logs={tmp_path / 'logs'}"]) == 0
    (folder,) = (tmp_path / "logs" / "train").iterdir()
    files, _ = redraw(RunFolder(folder), None, ["png"], place=tmp_path / "again")
    assert {path.stem for path in files} == {path.stem for path in (folder / "figures").glob("*.png")} == drawn
    for path in files:
        assert path.read_bytes() == (folder / "figures" / path.name).read_bytes(), path.name


def test_the_words_of_a_run_are_kept_and_checked(run, tmp_path):
    words = {"network": "2-5-3", "title": "2-5-3 on mine", "split": "validation", "epoch": 7, "best_epoch": None}
    words |= {"subtitles": {"calibration": "said of validation"}, "limits": {}}
    arrays = dict(read_saved(run).arrays)
    for wrong in (
        {},
        [],
        {"network": 3},
        words | {"limits": {"nll": "x"}},
        words | {"subtitles": None},
        words | {"epoch": "7"},
    ):
        np.savez(run.figures / "arrays.npz", **Saved(arrays, wrong).packed())
        with pytest.raises(InputError, match="words are none of a run's"):
            read_saved(run)
    np.savez(run.figures / "arrays.npz", **Saved(arrays, words).packed())
    redraw(run, ["calibration", "decision_map"], ["svg"], place=tmp_path)
    text = (tmp_path / "calibration.svg").read_text()
    assert "2-5-3: validation points" in text and "said of validation" in text
    assert "2-5-3 after 7 epochs" in (tmp_path / "decision_map.svg").read_text()


def test_words_are_text_in_svg_and_fonts_in_pdf(run, tmp_path):
    redraw(run, ["decision_map", "learning_curves"], ["svg", "pdf"], place=tmp_path)
    svg = (tmp_path / "decision_map.svg").read_text()
    words = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert {"ant", "bee", "cat", "length", "weight"} <= set(words) and any("after 20 epochs" in word for word in words)
    pdf = (tmp_path / "learning_curves.pdf").read_bytes()
    assert b"/FontFile2" in pdf or b"/Type /Font" in pdf
    streams = [
        zlib.decompress(part)
        for part in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
        if part[:1] == b"x"
    ]
    assert any(b" Tj" in stream or b" TJ" in stream for stream in streams)


def test_a_column_is_3_3_inches_with_letters_of_8_points(run, tmp_path):
    files, left_out = redraw(run, None, ["svg"], size="column", place=tmp_path)
    assert {path.name for path in files} == {"decision_map_column.svg", "learning_curves_column.svg"}
    assert len(left_out) == 7 and all("too small" in line for line in left_out)
    for path in files:
        text = path.read_text()
        width = float(re.search(r'width="([\d.]+)pt"', text)[1])
        assert 3.2 <= width / 72 <= 3.35
        sizes = [float(size) for size in re.findall(r"font(?:-size)?: (?:[a-z0-9]+ )*([\d.]+)px", text)]
        assert sizes and min(sizes) >= 8


def test_a_plain_figure_has_no_title(run, tmp_path):
    redraw(run, ["decision_map"], ["svg"], style="plain", place=tmp_path)
    assert "epochs" not in (tmp_path / "decision_map_plain.svg").read_text()


def test_what_was_not_saved_is_left_out_with_its_reason(run, tmp_path):
    with np.load(run.figures / "arrays.npz") as found:
        few = {name: found[name] for name in ("map", "extent", "points", "labels", "predicted")}
    np.savez(run.figures / "arrays.npz", **few)
    files, left_out = redraw(run, None, ["png"], place=tmp_path)
    assert [path.name for path in files] == ["decision_map.png"] and len(left_out) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ["decison_map"]}, "did you mean decision_map"),
        ({"formats": ["pdff"]}, "did you mean pdf"),
        ({"size": "huge"}, "size must be"),
        ({"style": "x"}, "style must be"),
    ],
)
def test_wrong_words_are_one_line(run, change, message):
    given = {"names": None, "formats": ["png"]} | change
    with pytest.raises(InputError, match=message):
        redraw(run, given.pop("names"), given.pop("formats"), **given)


def test_runs_without_arrays_or_with_damaged_ones_are_one_line(run):
    (run.figures / "arrays.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(InputError, match="damaged"):
        read_saved(run)
    (run.figures / "arrays.npz").unlink()
    with pytest.raises(InputError, match="figures=map or figures=all"):
        read_saved(run)


def test_the_command(run, tmp_path, capsys):
    assert command.FIGURES == tuple(FIGURES)
    assert main(["redraw", "12345678", "decision_map", "format=svg,png", f"paths.logs={tmp_path}"]) == 0
    assert capsys.readouterr().out.count("picture") == 2 and (run.figures / "decision_map.svg").exists()
    assert main(["redraw", str(run.path), "size=column", f"to={tmp_path / 'out'}", "figures.format=pdf"]) == 0
    assert (tmp_path / "out" / "learning_curves_column.pdf").exists()
    for words in ([], [str(run.path), "fromat=pdf"], [str(run.path), "format=x"]):
        assert main(["redraw", *words]) == 2
        capsys.readouterr()
    assert main(["redraw", "--help"]) == 0


def test_a_run_leaves_further_formats_where_they_are_asked_for(tmp_path):
    words = ["data.points_per_arm=60", "data.validation_points=30", "data.fresh_points=50", "trainer.max_epochs=1"]
    assert (
        main(
            [
                "train",
                f"paths.logs={tmp_path}",
                "figure_formats=[svg,pdf]",
                "figures=map",
                "callbacks.progress=null",
                *words,
            ]
        )
        == 0
    )
    (figures,) = (tmp_path / "train").glob("*/figures")
    assert {f"decision_map.{form}" for form in ("png", "svg", "pdf")} <= {path.name for path in figures.iterdir()}


def test_vectors_are_those_of_the_figure(run):
    made = FIGURES["learning_curves"][1](read_saved(run), False)
    assert vector_bytes(made, "svg") == vector_bytes(made, "svg")
