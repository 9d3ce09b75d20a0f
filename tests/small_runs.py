"""Small runs for the tests of fitting: their config, how one is stopped, and how two are compared."""

import copy
import csv
import json

import numpy as np
import pytest
from omegaconf import OmegaConf

from mlplab.config.composition import compose
from mlplab.data.modules import SpiralDataModule
from mlplab.population.blocks import Serving
from mlplab.runs import checkpoint
from mlplab.runs.identity import tensor_sha256
from mlplab.training.callbacks import MemberCallback
from mlplab.training.fit import fit, fit_members
from mlplab.training.members import members_of

SMALL = [
    "data.points_per_arm=40",
    "data.batch_size=16",
    "data.validation_points=40",
    "data.fresh_points=100",
    "model.width=6",
    "trainer.max_epochs=4",
    "trainer.accelerator=cpu",
    "callbacks.progress=null",
    "callbacks.decision_maps.resolution=8",
]
# Times and names differ from run to run; everything else must not.
VOLATILE = ("seconds", "name")


@pytest.fixture(scope="module")
def base():
    """A resolved config of a small run: 128 train points, 8 minibatches an epoch, 4 epochs."""
    return OmegaConf.to_container(compose("train", [*SMALL, "paths.logs=unused"]))


def spirals(**options):
    """64 train points: 8 minibatches of 8."""
    data = SpiralDataModule(
        points_per_arm=20, **{"batch_size": 8, "validation_points": 12, "fresh_points": 0} | options
    )
    data.setup()
    return data


def changed(base, **changes):
    """The config with some dotted keys changed, written with __ for the dot."""
    config = copy.deepcopy(base)
    for key, value in changes.items():
        *path, last = key.split("__")
        node = config
        for name in path:
            node = node[name]
        node[last] = value
    if "seed" in changes and "data__order_seed" not in changes:
        config["data"]["order_seed"] = changes["seed"]
    return config


def quick(base, **changes):
    """Without pictures and TensorBoard: where only the numbers matter."""
    return changed(base, **{"figures": "none", "logger__tensorboard": None, "callbacks__decision_maps": None} | changes)


def train(config, folder, **options):
    folder.mkdir(parents=True, exist_ok=True)
    return fit(config, folder, **options)


def comparable(result):
    return {key: value for key, value in result.items() if key not in VOLATILE}


def rows(folder):
    with open(folder / "metrics.csv") as file:
        return list(csv.DictReader(file))


def status(folder):
    return json.loads((folder / "status.json").read_text())["status"]


def assert_same_run(first, second):
    """Two folders hold the same training: result, table, states and the arrays of all pictures."""
    results = [json.loads((folder / "result.json").read_text()) for folder in (first, second)]
    assert comparable(results[0]) == comparable(results[1])
    assert (first / "metrics.csv").read_bytes() == (second / "metrics.csv").read_bytes()
    for name in ("last.ckpt", "best.ckpt"):
        pair = [folder / "checkpoints" / name for folder in (first, second)]
        assert pair[0].exists() == pair[1].exists()
        if pair[0].exists():
            states = [checkpoint.load(path) for path in pair]
            for state in states:
                state["mlplab"].get("callbacks", {}).pop("Timing", None)
                state.get("callbacks", {}).pop("Timing", None)
                if state["mlplab"].get("engine") == "lightning":
                    state.pop("loops")  # Lightning counts on otherwise after going on
            assert tensor_sha256(states[0]) == tensor_sha256(states[1])
    pictures = [sorted(p.relative_to(f) for p in f.glob("figures/**/*") if p.is_file()) for f in (first, second)]
    assert pictures[0] == pictures[1]
    for name in pictures[0]:
        if name.suffix == ".npz":
            arrays = [np.load(folder / name) for folder in (first, second)]
            assert set(arrays[0]) == set(arrays[1])
            for key in arrays[0]:
                np.testing.assert_array_equal(arrays[0][key], arrays[1][key])
        else:
            assert (first / name).read_bytes() == (second / name).read_bytes(), name


def state_in(payload):
    """What ``state_sha256`` is taken of, from a last checkpoint in Lightning's form."""
    named = {name.removeprefix("model."): value for name, value in payload["state_dict"].items()}
    moments = {}
    for name, kept in zip(named, payload["optimizer_states"][0]["state"].values()):
        for key, value in kept.items():
            if key != "step":
                moments.setdefault(key, {})[name] = value
    return {"model": named, "buffers": {}, "optimizer": moments, "steps": payload["mlplab"]["steps"]}


@pytest.fixture(scope="module")
def whole(base, tmp_path_factory):
    """One run with everything on."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(base, folder)
    return folder


class StopAt(MemberCallback):
    """Ask for a stop, as Ctrl-C does, after so many minibatches, or at the end of an epoch."""

    takes_blocks = True

    def __init__(self, minibatches):
        self.minibatches = minibatches

    def on_train_batch_end(self, trainer, module, *_):
        members = members_of(trainer, module)
        done = members.minibatches if hasattr(members, "minibatches") else trainer.fit_loop.total_batch_idx + 1
        if done >= self.minibatches:
            members.interrupted = True


@pytest.fixture(params=(1, 3, 1000))
def serving(request):
    """Blocks of 1, of 3 and of all the 8 minibatches of an epoch."""
    return Serving(minibatches=request.param)


def interrupt(config, folder, minibatches, **options):
    folder.mkdir(parents=True, exist_ok=True)
    with pytest.raises(KeyboardInterrupt):
        fit_members([config], [folder], observer=StopAt(minibatches), **options)
    assert status(folder) == "interrupted" and not (folder / "result.json").exists()
