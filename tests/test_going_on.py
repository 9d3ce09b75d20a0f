"""Going on: a finished run made longer, a run that starts from another's weights, and a finished run resumed."""

import json

import pytest
import torch

import mlplab
from mlplab.cli.app import main
from mlplab.nn.mlp import MLP
from mlplab.runs import checkpoint

WORDS = [
    "data.points_per_arm=40",
    "data.batch_size=16",
    "data.fresh_points=50",
    "data.validation_points=40",
    "model.width=6",
    "figures=none",
    "callbacks.progress=null",
]
CONSTANT = ["schedule=constant", "optimizer.lr=0.01"]


def train(logs, *words):
    return main(["train", f"paths.logs={logs}", *WORDS, *words])


def result(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize("engine", ["population", "lightning"])
def test_a_finished_run_is_extended_to_the_bits_of_the_longer_one(tmp_path, engine):
    words = [*CONSTANT, f"trainer.engine={engine}"]
    assert train(tmp_path, *words, "name=short", "trainer.max_epochs=2") == 0
    assert train(tmp_path, *words, "name=long", "trainer.max_epochs=5") == 0
    before = sorted(path.read_bytes() for path in (tmp_path / "train" / "short").rglob("*") if path.is_file())
    assert main(["train", f"resume={tmp_path / 'train' / 'short'}", "trainer.max_epochs=5"]) == 0
    assert before == sorted(path.read_bytes() for path in (tmp_path / "train" / "short").rglob("*") if path.is_file())
    (extended,) = (path for path in (tmp_path / "train").iterdir() if path.name.startswith("short-"))
    assert result(extended)["state_sha256"] == result(tmp_path / "train" / "long")["state_sha256"]
    assert result(extended)["epochs"] == 5
    tables = [(folder / "metrics.csv").read_text() for folder in (extended, tmp_path / "train" / "long")]
    assert tables[0] == tables[1]


def test_a_schedule_that_depends_on_the_length_says_so(tmp_path, capsys):
    assert train(tmp_path, "name=short", "trainer.max_epochs=2", "schedule=cosine") == 0
    assert main(["train", f"resume={tmp_path / 'train' / 'short'}", "trainer.max_epochs=3"]) == 0
    assert "the schedule Cosine depends on the length" in " ".join(capsys.readouterr().err.split())
    assert main(["train", f"resume={tmp_path / 'train' / 'short'}", "trainer.max_epochs=1"]) == 2
    assert "trainer.max_epochs must be 2, as in the run that is resumed" in " ".join(capsys.readouterr().err.split())


def test_resuming_a_finished_run_says_that_nothing_is_left(tmp_path, capsys):
    assert train(tmp_path, "name=run", "trainer.max_epochs=2") == 0
    first = result(tmp_path / "train" / "run")
    capsys.readouterr()
    assert main(["train", f"resume={tmp_path / 'train' / 'run'}"]) == 0
    assert "nothing is left to train" in " ".join(capsys.readouterr().err.split())
    assert result(tmp_path / "train" / "run")["state_sha256"] == first["state_sha256"]


def test_a_run_starts_from_anothers_weights(tmp_path, capsys):
    assert train(tmp_path, "name=first", "trainer.max_epochs=2") == 0
    start = f"init_from={tmp_path / 'train' / 'first'}"
    assert train(tmp_path, "name=second", "trainer.max_epochs=1", start, "optimizer.lr=1e-12", "schedule=constant") == 0
    weights = [
        checkpoint.load(tmp_path / "train" / name / "checkpoints" / file)["state_dict"]["model.layers.0.weight"]
        for name, file in (
            ("first", f"{result(tmp_path / 'train' / 'first')['evaluated']}.ckpt"),
            ("second", "last.ckpt"),
        )
    ]
    assert torch.allclose(*weights, atol=1e-8)
    assert train(tmp_path, "name=third", start, "model.width=7") == 2
    assert "is of another network" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "train" / "third").exists()


def test_a_run_starts_from_weights_that_a_page_saved(tmp_path, capsys):
    network = MLP(2, [7, 5], 4, activation=["tanh", {"name": "leaky_relu", "negative_slope": 0.3}], seed=9)
    node = {"format": "mlplab weights", "command": "scripts/lab train", "model": network.arguments}
    node["state_dict"] = {name: value.tolist() for name, value in network.state_dict().items()}
    path = tmp_path / "weights.json"
    path.write_text(json.dumps(node))
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    back = mlplab.load(path)
    assert (
        torch.equal(back.model(x), network(x)) and back.data is None and back.config["command"] == "scripts/lab train"
    )
    shape = ["model.hidden=[7,5]", "model.activation=[tanh,{name: leaky_relu, negative_slope: 0.3}]"]
    assert (
        train(
            tmp_path,
            "name=own",
            "trainer.max_epochs=1",
            f"init_from={path}",
            "optimizer.lr=1e-12",
            "schedule=constant",
            *shape,
        )
        == 0
    )
    assert torch.allclose(mlplab.load(tmp_path / "train" / "own").model(x), network(x), atol=1e-6)
    assert train(tmp_path, "name=no", f"init_from={path}", "model.hidden=[7,6]") == 2
    assert "is of another network" in " ".join(capsys.readouterr().err.split())
    for wrong, said in (
        ({"model": {}}, "holds no weights"),
        (node | {"model": {"in_features": 2, "nope": 1}}, "does not hold the weights"),
        (node | {"state_dict": {"layers.0.weight": [[float("nan")]]}}, "does not hold the weights"),
        (node | {"state_dict": node["state_dict"] | {"layers.4.bias": [float("nan")] * 4}}, "no numbers"),
    ):
        path.write_text(json.dumps(wrong))
        with pytest.raises(mlplab.InputError, match=said):
            mlplab.load(path)


@pytest.mark.parametrize("engine", ["population", "lightning"])
def test_a_run_that_ended_early_has_nothing_left_to_train_and_cannot_be_made_longer(tmp_path, capsys, engine):
    words = [word for word in WORDS if "progress" not in word] + [
        f"trainer.engine={engine}",
        "callbacks=early_stopping",
    ]
    early = ["callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=10", "trainer.max_epochs=9"]
    assert main(["train", f"paths.logs={tmp_path}", "name=run", *words, *early]) == 0
    shown = [line.split()[1] for line in capsys.readouterr().err.splitlines() if line.startswith("epoch ")]
    assert shown == ["1/9", "2/9"]
    folder = tmp_path / "train" / "run"
    before, rows = result(folder), (folder / "metrics.csv").read_text()
    assert before["epochs"] == 2 and before["stopped"] == "early stopping"
    assert main(["train", f"resume={folder}"]) == 0
    assert "nan" not in capsys.readouterr().err and (folder / "metrics.csv").read_text() == rows
    assert {**result(folder), "seconds": 0} == {**before, "seconds": 0}
    assert main(["train", f"resume={folder}", "trainer.max_epochs=12"]) == 2
    assert "ended early (early stopping); a longer run would end there too" in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in folder.parent.iterdir()] == ["run"]
