import time
from contextlib import contextmanager
from types import SimpleNamespace

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict
from speed import slowness

from mlplab.config import composition as configs
from mlplab.errors import InputError
from mlplab.sweeps.composer import Composer
from mlplab.sweeps.display import Display
from mlplab.sweeps.launcher import compose_jobs


@contextmanager
def composing(study="train", resolve=configs.resolved):
    with hydra.initialize_config_dir(str(configs.conf_folder()), version_base="1.3", job_name="mlplab"):
        loader = GlobalHydra.instance().hydra.config_loader
        master = loader.load_configuration(study, ["seed=0,1"], run_mode=RunMode.MULTIRUN)
        yield (loader, master, Composer(loader, master, resolve, lambda plain: configs.check_plain(plain, study)))


def by_hydra(loader, master, overrides, number=0):
    """Compose a job as Hydra's basic launcher does."""
    whole = loader.load_sweep_config(master, list(overrides))
    with open_dict(whole):
        whole.hydra.job.num, whole.hydra.job.id = number, str(number)
    HydraConfig.instance().set_config(whole)
    try:
        with open_dict(whole):
            whole.pop("hydra")
        return OmegaConf.to_container(configs.check(whole))
    finally:
        HydraConfig.instance().cfg = None


# Each case is the jobs of one sweep: the second must not show what the first put in.
CASES = {
    "nested values": (["model.width=8", "optimizer.lr=1e-3"], ["model.width=16", "optimizer.lr=0.5"]),
    "a root key": (["seed=3"], ["seed=4"]),
    "nothing at all": ([], []),
    "lists": (["model.hidden=[8,4]"], ["model.hidden=[]"], ["model.hidden=[5]"]),
    "null": (["model.hidden=[8]"], ["model.hidden=null"]),
    "a mapping": (
        ["model.activation={name: leaky_relu, negative_slope: 0.1}"],
        ["model.activation=tanh"],
        ["model.activation={name: elu, alpha: 2.0}"],
    ),
    "a mapping is merged": (["trainer={max_epochs: 3}"], ["trainer={max_steps: 7}"], ["trainer.max_epochs=9"]),
    "a whole node turned off": (
        ["callbacks.decision_maps=null", "seed=1"],
        ["callbacks.decision_maps.resolution=32", "seed=2"],
    ),
    "a value within another": (
        ["callbacks.decision_maps.resolution=32", "callbacks.decision_maps=null", "seed=1"],
        ["callbacks.decision_maps.resolution=32", "callbacks.decision_maps=null", "seed=2"],
        ["model.width=3", "model.width=4", "seed=2"],
    ),
    "text": (["name='a,b=c'"], ["name=plain"], ["paths.logs='/x y/z'"]),
    "text that looks like something else": (["name='1e-3'"], ["name='true'"], ["name='null'"]),
    "group choices": (["data=moons", "seed=1"], ["data=circles", "seed=1"], ["data=moons", "seed=2"]),
    "group choices with values": (["data=moons", "data.noise=0.3"], ["data=xor", "data.noise=0.2"]),
    "an experiment": (["experiment=tutorial", "seed=1"], ["experiment=debug", "seed=1"]),
    "an experiment and its values": (["trainer.max_epochs=2", "experiment=tutorial"], ["trainer.max_epochs=3"]),
    "a group added elsewhere": (["+optimizer@spare=sgd", "seed=1"], ["+optimizer@spare=sgd", "seed=2"]),
    "a group put elsewhere": (["callbacks=early_stopping", "seed=1"], ["callbacks=early_stopping", "seed=2"]),
    "a key added, before and after": (
        ["+model.extra=1", "model.extra=2", "seed=1"],
        ["model.width=3", "++model.width=4"],
        ["++model.width=4", "model.width=3"],
    ),
    "a key deleted": (["~callbacks.progress", "seed=1"], ["~callbacks.progress", "seed=2"]),
    "what points elsewhere": (
        ["seed=5"],
        ["seed=6", "data.order_seed=1"],
        ["data.order_seed=${data.seed}"],
        ["seed=7"],
    ),
    "what points to a swept value": (
        ["data.seed=1", "data.order_seed=${data.seed}"],
        ["data.seed=2", "data.order_seed=${data.seed}"],
        ["data.seed=2", "data.order_seed=3"],
    ),
    "the same key twice": (["seed=1", "seed=2"], ["seed=3", "seed=1"]),
    "an element of a list": (["optimizer.betas=[0.5,0.6]", "seed=1"], ["optimizer.betas.0=0.7", "seed=2"]),
}


@pytest.mark.parametrize("jobs", CASES.values(), ids=CASES)
def test_jobs_are_composed_as_hydra_composes_them(jobs):
    with composing() as (loader, master, composer):
        composer.check = lambda plain: plain
        for overrides in jobs:
            whole = loader.load_sweep_config(master, list(overrides))
            with open_dict(whole):
                whole.pop("hydra")
            assert composer.compose(overrides)[0] == configs.resolved(whole), overrides


def test_a_job_is_given_values_of_its_own():
    with composing() as (_, _, composer):
        first, _ = composer.compose(["model.hidden=[4]", "seed=1"])
        second, _ = composer.compose(["model.hidden=[4]", "seed=2"])
        first["model"]["hidden"].append(5)
        first["data"]["noise"] = None
        third, _ = composer.compose(["model.hidden=[4]", "seed=2"])
        assert second == third and second["model"]["hidden"] == [4]


def test_what_asks_hydra_for_the_job_is_told_of_that_job():
    with composing() as (loader, master, composer):
        overrides = ["name=job-${hydra:job.num}", "seed=1"]
        names = [composer.compose(overrides, number)[0]["name"] for number in (0, 3)]
        assert names == ["job-0", "job-3"]
        assert [by_hydra(loader, master, overrides, number)["name"] for number in (0, 3)] == names


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["seed=1", "model.width=abc"], "model.width must be an integer"),
        (["seed=1", "data.batch_size=100000"], "data.batch_size"),
        (["seed=1", "data.order_seed=${nope}"], "data.order_seed cannot be resolved"),
        (["seed=1", "model.width=???"], "model.width must be given"),
    ],
)
def test_a_wrong_value_is_named_also_behind_a_right_one(overrides, words):
    with composing() as (_, _, composer):
        composer.compose([*overrides[:-1], overrides[-1].partition("=")[0] + "=8"])
        with pytest.raises(InputError, match=words):
            composer.compose(overrides)


def test_an_unknown_key_is_hydras_error():
    with composing() as (_, _, composer), pytest.raises(HydraException):
        composer.compose(["model.nope=1"])


@pytest.mark.parametrize("count", [2, 50])
def test_jobs_that_differ_in_values_are_composed_by_hydra_once(count, monkeypatch):
    fixed = ["callbacks.decision_maps.resolution=8", "callbacks.decision_maps=null", "logger=none", "model.width=5"]
    with composing() as (loader, _, composer):
        real, asked = loader.load_sweep_config, []
        monkeypatch.setattr(loader, "load_sweep_config", lambda *given: asked.append(given) or real(*given))
        found = [composer.compose([*fixed, f"seed={number}"], number)[0] for number in range(count)]
    assert len(asked) == 1 and [one["seed"] for one in found] == list(range(count))
    assert all(one["callbacks"]["decision_maps"] is None for one in found)


def test_a_thousand_jobs_take_seconds_to_compose(tmp_path):
    widths, count = [4 * k for k in range(1, 11)], 300
    jobs = [
        [f"model.width={widths[i % 10]}", f"optimizer.lr={1 + i % 7}e-3", f"seed={i}", "figures=map"]
        for i in range(count)
    ]
    with composing() as (loader, master, _):
        task = SimpleNamespace(resolve=configs.resolved, check=configs.check_plain)
        start = time.process_time()
        placed = compose_jobs(tmp_path, master, loader, task, jobs, Display())
        seconds = time.process_time() - start
    assert len({job.folder for job in placed}) == count
    assert seconds / count * 1000 < 15 * slowness(), f"{seconds / count * 1000:.1f} s for 1,000 jobs"  # promised: 30
