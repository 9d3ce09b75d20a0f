"""What the README shows is run: its examples, its files of your own, its commands."""

import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from mlplab.cli import app
from mlplab.config.composition import compose
from mlplab.nn.activations import ACTIVATIONS, Activation
from mlplab.nn.mlp import MLP

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
LINES = TEXT.replace("\\\n", " ").splitlines()
COMMANDS = [line.split("  #")[0].strip() for line in LINES if line.startswith("    scripts/lab ")]


def block(part: str) -> str:
    """Find the one code block that holds some text."""
    (found,) = [body for _, body in BLOCKS if part in body]
    return found


def test_the_five_lines_train_and_draw(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = block("import mlplab\n").replace("max_epochs=20", "max_epochs=2")
    exec(compile(code, "README.md", "exec"), {})  # the README is the project's own
    assert (tmp_path / "map.png").stat().st_size > 50_000
    shown = capsys.readouterr()
    assert 0 < float(shown.out) < 1 and "epoch 2/2" in shown.err


def test_the_core_example_prints_what_it_says(capsys):
    code = block("nn.losses")
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip() == code.rpartition("# ")[2].strip() == "0.34673"


def test_a_data_set_and_a_model_of_ones_own_train(tmp_path, monkeypatch, capsys):
    (tmp_path / "stripes.py").write_text(block("class StripesDataModule"))
    (tmp_path / "residual.py").write_text(block("class ResidualMLP"))
    for group, name in (("data", "stripes.Stripes"), ("model", "residual.Residual")):
        (tmp_path / "conf" / group).mkdir(parents=True)
        (tmp_path / "conf" / group / f"{name.partition('.')[0]}.yaml").write_text(block(f"_target_: {name}"))
    monkeypatch.syspath_prepend(str(tmp_path))
    words = ["train", "--config-dir", str(tmp_path / "conf"), "data=stripes", "model=residual", "trainer=debug"]
    assert app.main([*words, "data.stripes=6", f"paths.logs={tmp_path / 'logs'}", "figures=map"]) == 0
    ((folder),) = (tmp_path / "logs" / "train").iterdir()
    assert (folder / "figures" / "decision_map.png").exists()
    assert app.main(["evaluate", str(folder)]) == 2
    assert "set MLPLAB_TRUST=stripes" in capsys.readouterr().err
    monkeypatch.setenv("MLPLAB_TRUST", "stripes,residual")
    assert app.main(["evaluate", str(folder)]) == 0
    for name in ("stripes", "residual"):
        sys.modules.pop(name, None)


def test_an_activation_is_one_line(monkeypatch):
    line = block("softsign").strip()
    assert line == '"softsign": Activation(nn.Softsign),'
    monkeypatch.setitem(ACTIVATIONS, "softsign", Activation(nn.Softsign))
    x = torch.linspace(-2, 2, 5)[:, None]
    network = MLP(1, [3], 2, activation="softsign", seed=0)
    first, _, last = network.layers
    assert torch.equal(network(x), last(nn.functional.softsign(first(x))))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for word in command.split():
        if word.startswith("data.path="):
            Path(word.removeprefix("data.path=")).touch()
    name, *words = shlex.split(command.removeprefix("scripts/lab "))
    assert name in ("test", "tensorboard") or (ROOT / "scripts" / f"{name}.py").exists()
    study = app.COMMANDS.get(name, (None,))[0]
    # What needs a class of one's own, a run folder or a sweep is run elsewhere.
    own = any(word.startswith(("data=stripes", "model=residual", "resume=", "-")) or "=" not in word for word in words)
    if study is not None and not own:
        compose(study, words)


def test_every_picture_is_there():
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", TEXT)
    assert pictures and all((ROOT / picture).is_file() for picture in pictures)
