"""What the README files show is run: their examples, classes of your own, commands; their links lead somewhere."""

import ast
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from readmes import BLOCKS, COMMANDS, FILES, ROOT, TEXTS, anchors, links
from torch import nn

import mlplab
from mlplab.cli import app
from mlplab.config.composition import compose
from mlplab.nn.activations import ACTIVATIONS, Activation
from mlplab.nn.mlp import MLP


def block(part: str) -> str:
    """Find the one code block that holds some text."""
    (found,) = [body for _, body in BLOCKS if part in body]
    return found


def test_the_five_lines_train_and_draw(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = block("mlplab.draw_decision_map(").replace("max_epochs=20", "max_epochs=2")
    exec(compile(code, "README.md", "exec"), {})  # the file is the project's own
    assert (tmp_path / "map.png").stat().st_size > 50_000
    shown = capsys.readouterr()
    assert 0 < float(shown.out) < 1 and "epoch 2/2" in shown.err


def test_the_core_example_prints_what_it_says(capsys):
    code = block("nn.losses")
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip() == code.rpartition("# ")[2].strip() == "0.34673"


def test_a_data_set_a_model_and_a_schedule_of_ones_own_train(tmp_path, monkeypatch, capsys):
    (tmp_path / "stripes.py").write_text(block("class StripesDataModule"))
    (tmp_path / "residual.py").write_text(block("class ResidualMLP"))
    for group, name in (("data", "stripes.Stripes"), ("model", "residual.Residual")):
        (tmp_path / "conf" / group).mkdir(parents=True)
        (tmp_path / "conf" / group / f"{name.partition('.')[0]}.yaml").write_text(block(f"_target_: {name}"))
    (tmp_path / "halving.py").write_text(block("class Halving"))
    (tmp_path / "conf" / "schedule").mkdir()
    (tmp_path / "conf" / "schedule" / "halving.yaml").write_text("_target_: halving.Halving\nevery: 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    own = ["data=stripes", "model=residual", "schedule=halving"]
    words = ["train", "--config-dir", str(tmp_path / "conf"), *own, "trainer=debug"]
    assert app.main([*words, "data.stripes=6", f"paths.logs={tmp_path / 'logs'}", "figures=map"]) == 0
    ((folder),) = (tmp_path / "logs" / "train").iterdir()
    assert (folder / "figures" / "decision_map.png").exists()
    assert app.main(["evaluate", str(folder)]) == 2
    assert "set MLPLAB_TRUST=stripes" in capsys.readouterr().err
    monkeypatch.setenv("MLPLAB_TRUST", "stripes,residual,halving")
    assert app.main(["evaluate", str(folder)]) == 0
    for name in ("stripes", "residual", "halving"):
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
    program, name, *words = shlex.split(command)
    if program != "scripts/lab":  # Python itself: a file of the project, or a line of its own, which is run
        if name == "-c":
            subprocess.run([sys.executable, "-c", *words], check=True)
            assert list(tmp_path.iterdir())
        assert name == "-c" or (ROOT / name).is_file()
        return
    for word in words:
        if word.startswith("data.path="):
            Path(word.removeprefix("data.path=")).touch()
    assert name in ("test", "tensorboard", "--help") or (ROOT / "scripts" / f"{name}.py").exists()
    study = app.COMMANDS.get(name, (None,))[0]
    for group, _, choices in (word.partition("=") for word in words if study is not None):
        if (ROOT / "conf" / group).is_dir() and choices not in ("stripes", "residual"):  # written by the reader
            assert all((ROOT / "conf" / group / f"{choice}.yaml").is_file() for choice in choices.split(",")), group
    # What needs a class of one's own, a run folder or a sweep is run elsewhere.
    own = any(word.startswith(("data=stripes", "model=residual", "resume=", "-")) or "=" not in word for word in words)
    if study is not None and not own:
        compose(study, words)


def test_the_citation_is_of_this_version():
    assert (
        f"version = {{{mlplab.__version__}}}" in block("@software{mlplab")
        and f"## {mlplab.__version__} " in TEXTS["src/mlplab/CHANGES.md"]
    )
    assert f'version = "{mlplab.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_every_block_can_be_read():
    for language, body in BLOCKS:
        if language == "python":
            ast.parse("{" + body.strip() + "}" if body.startswith('"') else body)
        elif language == "yaml":
            assert yaml.safe_load(body)
        else:
            assert language in ("text", "bibtex")


@pytest.mark.parametrize("file", FILES, ids=TEXTS)
def test_every_link_leads_somewhere(file):
    text = file.read_text(encoding="utf-8")
    for link in links(text):
        target, _, anchor = link.partition("#")
        place = (file.parent / target).resolve() if target else file
        assert place.exists() and place.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(place.read_text(encoding="utf-8")), link


def test_each_is_read_in_one_sitting():
    assert TEXTS["README.md"].count("\n") <= 150
    for name, text in TEXTS.items():
        assert text.count("\n") < 200 and max(map(len, text.splitlines())) < 400, name
