"""A sweep as TensorBoard shows it: a run a job, and one for each setting's mean."""

import json
import math

import numpy as np
import pytest
from sweep_folders import make_sweep, read_record, write_record
from tensorboard.plugins.custom_scalar import layout_pb2
from test_loggers import HParams, accumulate

from mlplab.cli import tensorboard
from mlplab.errors import InputError
from mlplab.report.board import FOLDER, Board
from mlplab.runs.metrics import read


@pytest.fixture
def sweep(tmp_path):
    return make_sweep(tmp_path / "sweep" / "widths", (8, 16), (1, 2), (0, 1, 2))


def runs_on(board):
    return sorted(path.name for path in board.folder.iterdir())


def test_a_run_a_job_named_by_what_differs_and_a_mean_a_setting(sweep):
    board = Board(sweep)
    assert board.update() == 12 + 4
    names = runs_on(board)
    assert names[:2] == ["mean width=08 depth=1", "mean width=08 depth=2"]
    assert names[4] == "width=08 depth=1 seed=0" and len(names) == 16
    assert not board.running


def test_curves_are_those_of_the_jobs_and_means_and_bands_those_of_their_seeds(sweep):
    board = Board(sweep)
    board.update()
    columns = {}
    for job in read_record(sweep)["jobs"]:
        if (job["swept"]["model.width"], job["swept"]["model.depth"]) == (16, 2):
            columns[job["swept"]["seed"]] = read(sweep / job["name"] / "metrics.csv")
    for seed, column in columns.items():
        found = accumulate(sweep / FOLDER / f"width=16 depth=2 seed={seed}").Scalars("loss/train")
        assert [(event.step, event.value) for event in found] == list(zip(column["step"], column["train/loss"]))
    mean = accumulate(sweep / FOLDER / "mean width=16 depth=2")
    train = np.array([column["train/loss"] for column in columns.values()])
    np.testing.assert_allclose([event.value for event in mean.Scalars("loss/train")], train.mean(0), rtol=1e-6)
    assert "layout" not in runs_on(board)


def test_hparams_show_what_differs_and_nothing_else(sweep):
    Board(sweep).update()
    table = HParams(sweep / FOLDER)
    assert {info.name for info in table.experiment.hparam_infos} == {"model.width", "model.depth", "seed"}
    assert len(table.rows) == 12
    row = table.metrics("width=08 depth=1 seed=0")
    job = next(job for job in read_record(sweep)["jobs"] if list(job["swept"].values()) == [8, 1, 0])
    assert math.isclose(row[":fresh/nll"][0], job["result"]["fresh"]["nll"], rel_tol=1e-6)


def test_a_job_has_its_row_while_it_runs_and_goes_on_from_where_the_board_stood(sweep):
    record = read_record(sweep)
    job = record["jobs"][0]
    folder = sweep / job["name"]
    result, lines = (folder / "result.json").read_text(), (folder / "metrics.csv").read_text().splitlines(keepends=True)
    (folder / "result.json").unlink()
    (folder / "metrics.csv").write_text("".join(lines[:6]))
    job |= {"status": "running", "result": None}
    write_record(sweep, record["jobs"])
    board = Board(sweep)
    board.update()
    name = "width=08 depth=1 seed=0"
    assert name in HParams(sweep / FOLDER).rows or name in runs_on(board)
    assert (sweep / FOLDER / name).is_dir()
    (folder / "metrics.csv").write_text("".join(lines))
    (folder / "result.json").write_text(result)
    job |= {"status": "finished", "result": json.loads(result)}
    write_record(sweep, record["jobs"])
    board.update()
    board.update()
    assert not board.running
    assert len(HParams(sweep / FOLDER).rows) == 12


def test_the_layout_puts_training_and_validation_into_one_chart(sweep):
    board = Board(sweep)
    board.update()
    found = [accumulate(path) for path in sorted(board.folder.iterdir())]
    (event,) = [
        e
        for one in found
        if "custom_scalars__config__" in one.Tags()["tensors"]
        for e in one.Tensors("custom_scalars__config__")
    ]
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    assert [list(chart.multiline.tag) for chart in layout.category[0].chart][0] == ["^loss/train$", "^loss/validation$"]


def test_many_runs_stay_within_what_tensorboard_ticks_by_itself(tmp_path):
    board = Board(make_sweep(tmp_path / "s", tuple(range(1, 51)), (1,), tuple(range(10))))
    assert board.update() == 500 and board.means == 50 and board.left_out == 50
    said = tensorboard.hints(500, [], board.means, board.left_out)
    assert "50 jobs have no room" in said[1] and "?runFilter=%5Emean&" in said[2]


def test_damaged_and_missing_tables_are_left_out(sweep):
    folders = [sweep / job["name"] for job in read_record(sweep)["jobs"]]
    (folders[0] / "metrics.csv").write_bytes(b"\xff\xfe")
    (folders[1] / "metrics.csv").unlink()
    (folders[2] / "metrics.csv").write_text("epoch,train/loss\n1,x\n")
    assert Board(sweep).update() == 15  # of one setting nothing is left to average


def test_the_command_finds_sweeps_and_runs_by_name(sweep, monkeypatch):
    monkeypatch.setattr(tensorboard, "logs_folder", lambda: sweep.parent.parent)
    assert (
        tensorboard.found_folder("last")
        == tensorboard.found_folder("widths")
        == tensorboard.found_folder(str(sweep))
        == sweep
    )
    digits = read_record(sweep)["jobs"][0]["name"].rpartition("-")[2]
    assert tensorboard.found_folder(digits).parent == sweep
    with pytest.raises(InputError, match="must be given a folder that exists"):
        tensorboard.found_folder("nowhere")
    monkeypatch.setattr(tensorboard, "serve", lambda program, board: program)
    program = tensorboard.tensorboard(["widths", "--port", "7"])
    assert program[program.index("--logdir") + 1] == str(sweep / FOLDER) and program[-2:] == ["--port", "7"]
    assert any("localhost:7/" in line for line in tensorboard.hints(3, ["--port", "7"]))
    assert any("localhost:8/" in line for line in tensorboard.hints(50, ["--port=8"]))


def test_an_interrupted_run_has_its_row_in_hparams(tmp_path, monkeypatch):
    from mlplab.cli.app import main
    from mlplab.training import fit

    monkeypatch.setattr(fit, "run_loop", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    words = [
        "data.points_per_arm=60",
        "trainer.max_epochs=1",
        "callbacks.progress=null",
        "figures=none",
        "logger.tensorboard.flush_every_s=0",
    ]
    assert main(["train", f"paths.logs={tmp_path}", *words]) == 130
    assert len(HParams(tmp_path / "train").rows) == 1
