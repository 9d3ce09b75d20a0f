"""On a GPU: both engines train there, to the same bits again and to a CPU's accuracy. Skipped where there is none."""

import copy

import pytest
import torch
from omegaconf import OmegaConf

from mlplab.config.composition import compose
from mlplab.training.fit import fit, fit_members

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
    pytest.mark.filterwarnings("ignore"),
]
QUIET = ["figures=none", "logger=none", "callbacks.decision_maps=null", "callbacks.progress=null"]


def config(*words):
    return OmegaConf.to_container(compose("train", [*QUIET, "trainer=gpu", *words]))


@pytest.mark.parametrize(
    "words",
    [
        ["trainer.max_epochs=5"],
        ["trainer.max_epochs=3", "model.dropout=0.1", "optimizer=adamw", "trainer.gradient_clip_val=0.5"],
    ],
)
def test_the_engine_repeats_to_the_bit(words):
    first, second = fit(config(*words), None), fit(config(*words), None)
    assert first["device"].startswith("cuda") and first["engine"] == "population"
    assert first["state_sha256"] == second["state_sha256"]


def test_a_member_is_the_single_run():
    base = config("model.width=16", "trainer.max_epochs=3")
    configs = [copy.deepcopy(base) for _ in range(5)]
    for seed, one in enumerate(configs):
        one["seed"] = one["data"]["order_seed"] = seed
    together = fit_members(configs, [None] * 5)
    alone = fit(configs[3], None)
    assert together[3]["validation"]["nll"] == pytest.approx(alone["validation"]["nll"], rel=1e-4)


@pytest.mark.parametrize("words", [[], ["trainer.engine=lightning"], ["trainer.precision=bf16-mixed"]])
def test_a_gpu_reaches_what_a_cpu_reaches(words):
    result = fit(config("trainer.max_epochs=30", *words), None)
    assert result["device"].startswith("cuda") and result["test"]["accuracy"] > 0.95
    assert result["engine"] == ("lightning" if words else "population")
