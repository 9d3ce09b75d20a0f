"""The study as a program reads it: rows, bounds, files, networks, and one line for bad input."""

import csv
import json

import numpy as np
import pytest
import torch

from mlplab.cli.app import main
from mlplab.plots.style import png_bytes
from mlplab.runs.folder import open_run
from mlplab.studies.relu.figures import redraw

FAST = ["trained.adam_steps=20", "trained.lbfgs_steps=5", "trained.networks=2", "depth.networks=2", "depth.steps=10"]


def study(tmp_path, *words):
    assert main(["relu_approximation", f"paths.logs={tmp_path}", "name=here", *FAST, *words]) == 0
    folder = tmp_path / "relu_approximation" / "here"
    return folder, json.loads((folder / "result.json").read_text())


def test_one_method_as_a_program_reads_it(tmp_path, capsys):
    folder, result = study(tmp_path, "target=exp", "method=minimax", "n=17")
    (row,) = result["rows"]
    assert (row["target"], row["method"], row["n"]) == ("exp", "minimax", 17)
    assert row["lower_bound"] <= row["max_error"] <= 1.01 * row["lower_bound"] and row["floor"] < row["lower_bound"]
    assert row["max_error"] == pytest.approx((2 * (np.sqrt(np.e) - 1)) ** 2 / (16 * 17**2), rel=2e-3)
    assert row["rms_error"] < row["max_error"] and row["seconds"] > 0
    assert "minimax" in capsys.readouterr().out and result["float32"]["segments_ulp"] <= 4
    assert (
        open_run(folder).manifest.exists() and json.loads((folder / "status.json").read_text())["status"] == "finished"
    )
    state = torch.load(folder / "checkpoints" / "minimax_17.pt", weights_only=True)
    ends = [torch.nn.utils.skip_init(torch.nn.Linear, *sizes) for sizes in ((1, 17), (17, 1))]
    network = torch.nn.Sequential(ends[0], torch.nn.ReLU(), ends[1])
    network.load_state_dict(state)
    x = torch.linspace(0, 1, 500)[:, None]
    with torch.no_grad():
        assert (network(x) - torch.exp(x)).abs().max().item() < row["max_error"] + 1e-6


def test_every_method_and_figure_at_two_widths(tmp_path):
    folder, result = study(tmp_path, "target=x2", "n=[5,8]")
    methods = {row["method"] for row in result["rows"]}
    assert methods == {"uniform", "equidistributed", "minimax", "least_squares", "greedy", "trained", "depth"}
    for row in result["rows"]:
        if row["floor"] is not None:
            assert row["max_error"] >= row["floor"]
        if row["method"] == "depth":
            assert row["max_error"] == pytest.approx(2.0 ** -(2 * (row["n"] + 1) / 3 + 3), rel=1e-9)
    for name in ("decomposition", "width", "depth"):
        assert (
            png_bytes(redraw(folder / "figures" / f"{name}.npz")) == (folder / "figures" / f"{name}.png").read_bytes()
        )
    with (folder / "errors.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(result["rows"]) and float(rows[0]["max_error"]) == result["rows"][0]["max_error"]
    assert (folder / "errors.md").read_text().count("\n") == len(rows) + 2


@pytest.mark.parametrize("text", ["1,5\n", "1,5\n2,6\n", "x,y\n2,1\n0,3\n2,3\n1,5\n4,0\n"])
def test_points_from_a_file(tmp_path, text):
    path = tmp_path / "points.csv"
    path.write_text(text)
    _, result = study(tmp_path, "target=points", f"target.path={path}", "n=2")
    assert {row["method"] for row in result["rows"]} >= {"minimax", "least_squares", "greedy"}
    assert not text.startswith("x") or any("all 5 rows count" in note for note in result["notes"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["n=0"], "n must be"),
        (["n=[]"], "n must be"),
        (["target=expp"], "exp"),
        (["target.name=sine"], "sin"),
        (["target.low=3", "target.high=3"], "target.low"),
        (["method=minmax"], "minimax"),
        (["method.names=[]"], "method"),
        (["target=points"], "path"),
        (["target=points", "target.path=/nowhere.csv"], "nowhere"),
        (["target=step", "target.high=2", "method=depth"], "symmetry"),
        (["trained.lr=0"], "trained.lr"),
        (["figures=[widht]"], "width"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys, words, told):
    assert main(["relu_approximation", f"paths.logs={tmp_path}", *words]) == 2
    error = capsys.readouterr().err
    # What only the study knows is noticed when its folder has been named.
    named, *rest = error.splitlines() if error.startswith("relu_approximation:") else ["", *error.splitlines()]
    assert len(rest) == 1 and told in rest[0]
    assert not list(tmp_path.glob("**/config.yaml"))
