"""The suite's memory for Hydra (composing.py) against Hydra alone."""

import pytest
from composing import HYDRAS, MEMORYS, composing_by
from omegaconf import OmegaConf

from mlplab.config.composition import compose_whole, conf_folder
from mlplab.errors import InputError

WORDS = [
    ["seed=3", "model.width=16"],
    ["seed=4", "model.width=8"],
    ["model=spiking_mlp", "optimizer=sgd"],
    ["optimizer=sgd", "model=spiking_mlp", "optimizer.lr=0.1"],
    ["experiment=tutorial", "data.noise=0.1"],
    ["experiment=tutorial", "data=moons"],
    ["+callbacks.mine={_target_: x.Y}", "++seed=5"],
    ["~schedule", "~callbacks.progress"],
    ["hydra.run.dir=x", "hydra.job.name=y", "hydra/launcher=basic"],
    ["logger=csv", "+logger@second=csv"],
    ["model=nothing"],
    ["nothing=1"],
    ["data@other=moons"],
    ["model=[mlp]"],
]


def composed(words, **options):
    """What is composed, or what is said."""
    try:
        return OmegaConf.to_yaml(compose_whole("train", words, **options))
    except InputError as error:
        return str(error)


def test_with_a_memory_hydra_composes_what_it_composes_alone():
    with composing_by(*HYDRAS):
        alone = [composed(words) for words in WORDS]
    with composing_by(*MEMORYS):
        for words, wanted in [*zip(WORDS, alone, strict=True)] * 2:
            assert composed(words) == wanted
    assert len(set(alone)) == len(WORDS)


def test_what_is_composed_belongs_to_who_asked():
    first = compose_whole("train", ["seed=3"])
    first.model.width = 77
    first.hydra.job.name = "changed"
    assert composed(["seed=3"]) == composed(["seed=3"]) != OmegaConf.to_yaml(first)


def test_a_file_that_is_new_changed_or_gone_is_seen(tmp_path):
    (tmp_path / "data").mkdir()
    mine = tmp_path / "data" / "mine.yaml"
    without = composed(["data=mine"], config_dir=tmp_path)
    assert "mine" in without
    text = (conf_folder() / "data" / "moons.yaml").read_text()
    for noise in ("0.111", "0.222"):
        mine.write_text(text + f"\nadded: {noise}\n")
        assert f"added: {noise}" in composed(["data=mine"], config_dir=tmp_path)
    mine.unlink()
    assert composed(["data=mine"], config_dir=tmp_path) == without


@pytest.mark.parametrize("functions", [HYDRAS, MEMORYS])
def test_an_experiment_chooses_what_is_not_chosen(functions, tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "two.yaml").write_text("# @package _global_\ndefaults:\n  - override /data: moons\n")
    with composing_by(*functions):
        for words, name in (([], "moons"), (["data=blobs"], "blobs"), ([], "moons")):
            whole = compose_whole("train", ["experiment=two", *words], config_dir=tmp_path)
            assert whole.hydra.runtime.choices.data == name and name in whole.data._target_.lower()
