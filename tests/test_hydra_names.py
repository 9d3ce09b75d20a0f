"""What the lab uses of Hydra's that is not public is as it was in the version it was written for."""

import re

import hydra
import pytest
from hydra.errors import HydraException

from mlplab import hydra_names
from mlplab.words import conf_folder

ADVICE = f"Hydra {hydra.__version__} differs from 1.3 in what mlplab/hydra_names.py uses of it: "


def error_of(*overrides):
    with (
        hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"),
        pytest.raises((HydraException, ValueError)) as caught,
    ):
        hydra.compose("train", list(overrides))
    return caught.value


def test_the_core_plugins_are_there_and_take_what_the_lab_gives_them():
    try:
        launcher, sweeper, node = hydra_names.core_plugins()
    except ImportError as error:
        pytest.fail(f"{ADVICE}{error}")
    assert callable(launcher().launch) and callable(launcher().setup), ADVICE
    assert callable(sweeper(max_batch_size=None).validate_batch_is_legal), (
        f"{ADVICE}the sweeper checks its jobs elsewhere"
    )
    assert node().max_batch_size is None and node().params is None, ADVICE


@pytest.mark.parametrize(
    ("name", "overrides", "groups"),
    [
        ("AMBIGUOUS", ["model.hidden=4,5"], {"text": "model.hidden=4,5"}),
        ("UNKNOWN_KEY", ["model.widht=3"], {"key": "model.widht"}),
        ("UNKNOWN_KEY", ["~model.widht"], {"key": "model.widht"}),
        ("IS_THERE", ["+model.width=3"], {"key": "model.width"}),
        ("GROUP_VALUE", ["model=3"], {}),
        ("NEEDS_MULTIRUN", ["model.width=range(1,3)"], {"text": "model.width=range(1,3)", "key": "model.width"}),
        ("CHOSEN_TWICE", ["+model=mlp"], {"key": "model"}),
        ("CHOSEN_TWICE", ["hydra.searchpath=[FOLDER]", "experiment=twice"], {"other": "model"}),
    ],
)
def test_hydras_errors_begin_with_the_words_by_which_they_are_known(tmp_path, name, overrides, groups):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "twice.yaml").write_text("# @package _global_\ndefaults:\n  - /model: spiking_mlp\n")
    error = error_of(*(text.replace("FOLDER", f"'file://{tmp_path}'") for text in overrides))
    found = re.match(getattr(hydra_names, name), str(error), re.DOTALL)
    assert found, f"{ADVICE}{name} does not fit {str(error)!r}"
    assert {key: text for key, text in found.groupdict().items() if text} == groups, ADVICE


def test_the_key_of_a_wrong_value_inside_another_stands_in_the_cause():
    error = error_of("model={widht: 3}")
    found = re.search(hydra_names.FULL_KEY, str(error.__cause__))
    assert found and found["key"] == "model.widht", f"{ADVICE}{error.__cause__}"


@pytest.mark.parametrize("words", [[], ["-m", "seed=0,1"], ["hydra.mode=MULTIRUN", "seed=0,1"]])
def test_hydra_composes_once_beside_the_lab(tmp_path, monkeypatch, words):
    """The lab composes to check what was typed, Hydra for the run or the sweep; not a third time to look up a mode."""
    from hydra._internal.hydra import Hydra

    from mlplab.cli import app

    def refuse(*_, **__):
        raise AssertionError("composed to look up the mode")

    monkeypatch.setattr(app, "load_study", lambda name: lambda config, folder: {"status": "finished"})
    monkeypatch.setattr("mlplab.sweeps.launcher.launch", lambda *_: [])
    monkeypatch.setattr(Hydra, "get_mode", refuse)
    assert app.main(["train", *words, f"paths.logs={tmp_path}"]) == 0 and Hydra.get_mode is refuse
