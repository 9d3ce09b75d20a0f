"""What makes two runs on files the same, files kept in the run's folder, and what checkpoints say of them."""

import json
import shutil

import pytest
import torch
import yaml
from test_another_file import clouds, write

from mlplab.cli import app
from mlplab.data.file_module import FileDataModule
from mlplab.errors import InputError
from mlplab.runs.identity import config_digest

QUICK = ["trainer.max_epochs=3", "model.width=4", "figures=none", "logger=none", "callbacks.progress=null"]


def train(place, *words):
    assert app.main(["train", "data=file", f"paths.logs={place / 'logs'}", "name=run", *QUICK, *words]) == 0
    return place / "logs" / "train" / "run"


@pytest.fixture
def files(tmp_path):
    for seed, name in enumerate(("rows", "validation", "test")):
        write(tmp_path / f"{name}.csv", *clouds(80, seed))
    return tmp_path


def test_a_run_is_its_config_and_the_content_of_its_files_wherever_they_lie():
    data = {"path": "/a", "file_sha256": "1", "test_path": None, "test_sha256": None, "copy": False}
    digest = config_digest({"data": data})
    assert config_digest({"data": data | {"path": "/b", "copy": True}}) == digest
    others = [{"file_sha256": "2"}, {"test_path": "/t", "test_sha256": "3"}, {"test_path": "/t", "test_sha256": "4"}]
    assert len({digest, *(config_digest({"data": data | other}) for other in others)}) == 4
    unknown = {"path": "/a", "file_sha256": None}
    assert config_digest({"data": unknown}) != config_digest({"data": unknown | {"path": "/b"}})
    # Of a config that knows nothing of the keys that came later.
    del data["test_sha256"], data["copy"]
    assert config_digest({"data": data}) == digest


@pytest.mark.parametrize("engine", ["population", "lightning"])
def test_a_checkpoint_says_how_inputs_are_made_of_rows(files, engine):
    run = train(files, f"data.path={files / 'rows.csv'}", f"trainer.engine={engine}")
    for name in ("last", "best"):
        content = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
        kept = content["FileDataModule"]
        result = json.loads((run / "result.json").read_text())
        assert kept["preparation"] == result["data"]["preparation"] and kept["class_names"] == ["high", "low"]
    data = FileDataModule(files / "rows.csv")
    data.setup()
    data.load_state_dict(kept)
    other = FileDataModule(files / "test.csv")
    other.setup()
    with pytest.raises(InputError, match="another sha256, preparation than"):
        other.load_state_dict(kept)


def test_files_kept_with_the_run_move_with_it(files, monkeypatch, capsys):
    (files / "more").mkdir()
    shutil.move(files / "test.csv", files / "more" / "rows.csv")  # two files of one name
    words = [
        f"data.path={files / 'rows.csv'}",
        f"data.test_path={files / 'more' / 'rows.csv'}",
        f"data.validation_path={files / 'validation.csv'}",
        "data.copy=true",
    ]
    run = train(files, *words)
    data = yaml.safe_load((run / "config.yaml").read_text())["data"]
    assert [data[key] for key in ("path", "validation_path", "test_path")] == [
        "data/rows.csv",
        "data/validation/validation.csv",
        "data/test/rows.csv",
    ]
    assert len({data[key] for key in ("file_sha256", "validation_sha256", "test_sha256")}) == 3
    before = json.loads((run / "result.json").read_text())
    moved = files / "elsewhere"
    shutil.move(run, moved)
    for name in ("rows.csv", "validation.csv", "more/rows.csv"):
        (files / name).unlink()
    monkeypatch.chdir("/")
    assert app.main(["evaluate", str(moved), f"paths.logs={files / 'logs'}"]) == 0
    assert app.main(["reproduce", str(moved), f"paths.logs={files / 'logs'}"]) == 0
    assert "identical" in capsys.readouterr().out
    assert app.main(["train", f"resume={moved}", "trainer.max_epochs=5"]) == 0
    longer = next(path for path in files.iterdir() if path.name.startswith("elsewhere-"))
    assert (longer / "data" / "rows.csv").is_file()
    assert json.loads((longer / "result.json").read_text())["data"]["sha256"] == before["data"]["sha256"]


def test_another_test_file_under_the_same_name_is_another_run_and_is_not_gone_on_with(files, capsys):
    words = [f"data.path={files / 'rows.csv'}", f"data.test_path={files / 'test.csv'}"]
    run = train(files, *words)
    write(files / "test.csv", *clouds(80, 7))
    assert app.main(["evaluate", str(run), f"paths.logs={files / 'logs'}"]) == 2
    assert "data.test_path" in capsys.readouterr().err
    assert app.main(["train", f"resume={run}", "trainer.max_epochs=5"]) == 2
    assert "is another file than the one this run was made of" in capsys.readouterr().err


def test_a_sweep_whose_test_file_changed_is_not_averaged(files, capsys):
    words = [
        "train",
        "-m",
        "data=file",
        f"data.path={files / 'rows.csv'}",
        f"data.test_path={files / 'test.csv'}",
        *QUICK,
        f"paths.logs={files / 'logs'}",
        "sweep=s",
        "launcher=inline",
    ]
    assert app.main([*words, "seed=0,1"]) == 0
    write(files / "test.csv", *clouds(80, 7))
    assert app.main([*words, "seed=0,1"]) == 0
    (sweep,) = files.glob("logs/*/s")
    capsys.readouterr()
    assert app.main(["report", str(sweep)]) == 0
    assert "kept apart by its sha256" in " ".join(capsys.readouterr().out.split())
