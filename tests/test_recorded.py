"""Configs read back from run folders of anybody's: what they may name, and how damage is answered."""

import pytest
import yaml

from mlplab.config import composition as configs
from mlplab.config.recorded import expect_class
from mlplab.errors import InputError
from mlplab.runs.files import LARGEST_BYTES


@pytest.fixture
def recorded(tmp_path):
    """Write a recorded config with some keys changed; give its path."""

    def write(**changes):
        plain = dict(configs.resolved(configs.compose("train"))) | changes
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(plain))
        return tmp_path / "config.yaml"

    return write


def line_of(path):
    with pytest.raises(InputError) as caught:
        configs.load_recorded(path)
    line = str(caught.value)
    assert "\n" not in line and str(path) in line
    return line


def test_what_was_composed_is_read_back(recorded):
    assert configs.load_recorded(recorded()) == configs.compose("train")


@pytest.mark.parametrize(
    "target",
    [
        "mlplab.runs.files.write_text",  # a function of the lab's
        "mlplab.runs.manifest.subprocess.Popen",  # a class of a module that one of the lab's imports
        "mlplab.cli.app.os.system",
        "mlplab.runs.files.Path",
        "torch.nn.functional.relu",
        "torch.nn.modules.module.OrderedDict",
        "lightning.pytorch.trainer.trainer.os.system",
        "mlplab..os",
        "mlplab.",
        "mlplab.nn.mlp.Nothing",
        "os.system",
        "torch.hub.load",
        3,
        None,
    ],
)
def test_only_classes_that_are_defined_in_allowed_modules_may_be_named(recorded, tmp_path, target):
    inner = {"_target_": target, "path": str(tmp_path / "written"), "text": "x"}
    line = line_of(recorded(model={"_target_": "torch.nn.Identity", "x": [inner]}))
    assert "model.x.0._target_" in line
    assert not (tmp_path / "written").exists()


def test_classes_of_the_lab_torch_and_lightning_are_allowed():
    for key, target in (
        ("model", "mlplab.nn.mlp.MLP"),
        ("data", "mlplab.data.arrays.ArrayDataModule"),
        ("model.x.0", "torch.nn.Linear"),
        ("optimizer", "torch.optim.Adam"),
        ("callbacks.mine", "lightning.pytorch.callbacks.ModelSummary"),
    ):
        assert expect_class("here", key, {"_target_": target}) is None
    with pytest.raises(InputError, match="here must start with one of"):
        expect_class("here", "model", {"_target_": "torch.save"})


def test_files_that_would_fill_the_memory_are_refused(tmp_path):
    path = tmp_path / "config.yaml"
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    path.write_text("\n".join(lines))
    assert "must hold no YAML aliases" in line_of(path)
    path.write_text("#" * (LARGEST_BYTES + 1))
    assert f"at most {LARGEST_BYTES} bytes, got {LARGEST_BYTES + 1}" in line_of(path)
    path.write_text("a: " + "[" * 5000)
    assert "is damaged" in line_of(path)


@pytest.mark.parametrize(
    "content", [b"", b"- a", b"3", b"\xff\xfe", b"a:\n\t- b", b"a: 1", b"a: !!python/name:os.system"]
)
def test_damaged_files_are_refused_in_one_line(tmp_path, content):
    (tmp_path / "config.yaml").write_bytes(content)
    line_of(tmp_path / "config.yaml")
