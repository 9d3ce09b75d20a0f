"""--help of every command, from conf/ alone: fast, whole, and without what a run would make or import."""

import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from mlplab.cli import app
from mlplab.cli.help import COMMANDS
from mlplab.config import composition as configs
from mlplab.config.meanings import MEANINGS, meant
from mlplab.config.messages import keys_of
from mlplab.words import print_error, printable

COMPOSED = {command: root for command, (root, _) in app.COMMANDS.items() if root}


def helped(capsys, *words, code=0):
    assert app.main(list(words)) == code
    captured = capsys.readouterr()
    return captured.out if code == 0 else captured.err


def test_every_command_has_a_line(capsys):
    assert list(COMMANDS) == list(app.COMMANDS)
    lines = helped(capsys, "--help").splitlines()
    for command in app.COMMANDS:
        assert any(line.split()[:1] == [command] and len(line) <= 80 for line in lines), command


@pytest.mark.parametrize("command", list(app.COMMANDS))
def test_every_command_says_its_use_and_an_example(capsys, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for flag in ("--help", "-h"):
        text = helped(capsys, command, flag)
        assert "usage: " in text and text.count(f" {command}") >= 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("command", "root"), COMPOSED.items())
def test_the_help_of_a_study_names_every_key_and_every_option(capsys, command, root):
    text = helped(capsys, command, "--help")
    config = configs.compose_whole(root, ["runs=[x]"] if command == "spiking" else [])
    for key in keys_of(OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])):
        leaf = key.rpartition(".")[2]
        assert leaf.startswith("_") or f"{leaf}:" in text, key
    for group, name in config.hydra.runtime.choices.items():
        if not group.startswith("hydra/"):
            for option in configs.group_options(group, root):
                assert option in text.split() or f"[{option}]" in text.split()
            assert name is None or f"[{name}]" in text


def test_comments_and_what_a_file_builds_on_are_shown(capsys):
    text = helped(capsys, "train", "--help", "model=mlp")
    assert "depth: 1               # hidden layers; 0 is a linear classifier" in text
    assert "conf/trainer/gpu.yaml" in (text := helped(capsys, "train", "--help", "trainer=gpu"))
    assert "conf/trainer/auto.yaml" in text and "max_epochs: 100" in text
    assert "near_bayes" in helped(capsys, "train", "experiment", "--help")
    assert "dropout: 0.0" in helped(capsys, "train", "--help", "model.width")


def test_a_wrong_group_or_file_is_one_line(capsys):
    assert helped(capsys, "train", "--help", "modle", code=2).startswith("mlplab: did you mean model?")
    assert helped(capsys, "train", "--help", "data=moon", code=2).startswith("mlplab: did you mean moons?")


def test_groups_of_ones_own_are_listed(capsys, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "stripes.yaml").write_text("# train data=stripes (vertical ones)\nstripes: 4   # how many\n")
    assert "stripes" in helped(capsys, "train", "--help", "--config-dir", str(tmp_path))
    assert "stripes: 4   # how many" in helped(capsys, "train", "--help", "data=stripes", f"--config-dir={tmp_path}")


def test_help_imports_nothing_heavy():
    program = (
        "import sys; from mlplab.cli.app import COMMANDS, main\n"
        "assert not any(main([command, '--help']) for command in COMMANDS)\n"
        "assert not {'torch', 'lightning', 'matplotlib', 'scipy', 'hydra'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["epochs=20"], "trainer.max_epochs"),
        (["lr=0.1"], "optimizer.lr"),
        (["width=64"], "model.width"),
        (["batch=32"], "data.batch_size"),
        (["gpu=true"], "trainer.accelerator=gpu"),
        (["gpu"], "trainer.accelerator=gpu"),
        (["--epochs=20"], "trainer.max_epochs=20"),
        (["--lr", "0.1"], "optimizer.lr"),
        (["batch_size=1"], "data.batch_size"),
        (["n-layers=3"], "model.depth"),
        (["trainer.lr=1"], "optimizer.lr"),
        (["random_state=1"], "seed"),
        (["output_dir=x"], "paths.logs"),
        (["--cuda"], "trainer.accelerator=gpu"),
        (["ckpt_path=x"], "resume"),
    ],
)
def test_what_another_tool_calls_it_is_understood(capsys, words, hint):
    assert helped(capsys, "train", *words, code=2).startswith(f"mlplab: did you mean {hint}?")


def test_what_is_meant_is_there():
    known = [*keys_of(configs.compose("train")), "resume"]
    for word, found in MEANINGS.items():
        assert found.split("=")[0] in known, word
        assert f"did you mean {found}" in meant(word) or word == found


def test_errors_wrap_at_the_width_of_the_terminal_and_obey_nothing(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "50")
    print_error(
        "model.widht is not an option, got \x1b[31mred\x07; model takes "
        + "width, " * 20
        + "; did you mean model.width?"
    )
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("mlplab: did you mean model.width? ") and len(lines) > 3
    assert all(len(line) <= 50 for line in lines) and "\x1b" not in "".join(lines)
    assert printable("\x1b[2J\r\u202e\x9b") == "\\x1b[2J\\r\\u202e\\x9b"


@pytest.mark.parametrize("width", [80, 60])
@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_fits_the_terminal_and_loses_no_word(capsys, monkeypatch, command, width):
    monkeypatch.setenv("COLUMNS", "400")
    whole = helped(capsys, command, "--help")
    monkeypatch.setenv("COLUMNS", str(width))
    narrow = helped(capsys, command, "--help")
    assert all(len(line) <= width or len(line.split()) == 1 for line in narrow.splitlines())
    assert [word for word in narrow.split() if word != "#"] == [word for word in whole.split() if word != "#"]
