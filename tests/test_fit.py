import copy
import csv
import json
import os
import signal
import sys
import textwrap
import threading
import time
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from mlplab.config import compose
from mlplab.errors import InputError
from mlplab.runs import checkpoint
from mlplab.runs.fingerprint import tensor_sha256
from mlplab.training import blocks
from mlplab.training.callbacks import MemberCallback
from mlplab.training.fit import fit, fit_members

SMALL = [
    "data.points_per_arm=40", "data.batch_size=16", "data.validation_points=40", "data.fresh_points=100",
    "model.width=6", "trainer.max_epochs=4", "trainer.accelerator=cpu", "callbacks.progress=null",
    "callbacks.decision_maps.resolution=8",
]  # fmt: skip
# Times and names differ from run to run; everything else must not.
VOLATILE = ("seconds", "name")


@pytest.fixture(scope="module")
def base():
    """A resolved config of a small run: 128 train points, 8 minibatches an epoch, 4 epochs."""
    from omegaconf import OmegaConf

    return OmegaConf.to_container(compose("train", [*SMALL, "paths.logs=unused"]))


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
                state.get("callbacks", {}).pop("Timing", None)
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


@pytest.fixture(scope="module")
def whole(base, tmp_path_factory):
    """One run with everything on."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(base, folder)
    return folder


# What a run leaves.


def test_a_run_folder_holds_what_the_design_lists(whole, base):
    names = {path.name for path in whole.iterdir()}
    assert names == {
        "config.yaml", "manifest.json", "status.json", "metrics.csv", "result.json", "checkpoints", "tensorboard", "figures",
    }  # fmt: skip
    assert {p.name for p in (whole / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}
    assert (whole / "figures" / "decision_map.png").stat().st_size > 1000
    assert status(whole) == "finished"
    assert "${" not in (whole / "config.yaml").read_text()
    manifest = json.loads((whole / "manifest.json").read_text())
    result = json.loads((whole / "result.json").read_text())
    assert manifest["config_digest"] == result["config_digest"]
    assert len(manifest["data_sha256"]) == 64 and manifest["seed"] == 0 and manifest["data_seed"] == 2021


def test_the_result_is_true(whole, base):
    result = json.loads((whole / "result.json").read_text())
    assert (result["status"], result["epochs"], result["steps"], result["parameters"]) == ("finished", 4, 32, 46)
    assert (result["seed"], result["data_seed"], result["name"], result["device"]) == (0, 2021, "run", "cpu")
    counts = {part: result[part]["points"] for part in ("test", "fresh", "validation", "train")}
    assert counts == {"test": 32, "fresh": 100, "validation": 40, "train": 128}
    for part in counts:
        figures = result[part]
        assert figures["accuracy_regret"] == pytest.approx(figures["bayes_accuracy"] - figures["accuracy"])
        assert figures["nll_regret"] == pytest.approx(figures["nll"] - figures["bayes_nll"])
    table = rows(whole)
    assert [int(row["epoch"]) for row in table] == [1, 2, 3, 4] and [int(row["step"]) for row in table] == [8, 16, 24, 32]
    losses = [float(row["val/loss"]) for row in table]
    assert result["best_epoch"] == 1 + losses.index(min(losses)) and result["evaluated"] == "best"
    assert result["validation"]["nll"] == pytest.approx(min(losses), rel=1e-6)
    last = checkpoint.load(whole / "checkpoints" / "last.ckpt")
    state = {key: last[key] for key in ("model", "buffers", "optimizer", "steps")}
    assert tensor_sha256(state) == result["state_sha256"]
    assert 0 < result["seconds"]["fit"] < result["seconds"]["total"]


def test_the_best_checkpoint_gives_the_reported_figures(whole, base):
    from mlplab.core.mlp import MLP
    from mlplab.training.data import SpiralDataModule

    best = checkpoint.load(whole / "checkpoints" / "best.ckpt")
    model = MLP(2, [6], 4)
    model.load_state_dict(best["model"])
    options = {key: value for key, value in base["data"].items() if key != "_target_"}
    data = SpiralDataModule(**options)
    data.setup()
    result = json.loads((whole / "result.json").read_text())
    for name in ("test", "train", "validation", "fresh"):
        points = getattr(data, name)
        logits = model(points.x).detach().double()
        assert result[name]["accuracy"] == (logits.argmax(1) == points.y).double().mean().item()
        expected = nn.functional.cross_entropy(logits, points.y).item()
        assert result[name]["nll"] == pytest.approx(expected, rel=1e-5)


def test_tensorboard_reads_the_run_back(whole):
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    def read(folder):
        everything = {kind: 0 for kind in ("scalars", "images", "tensors")}
        return event_accumulator.EventAccumulator(str(folder), size_guidance=everything).Reload()

    table, top = rows(whole), read(whole / "tensorboard")
    for run, part in (("train", "train"), ("val", "val")):
        for tag in ("loss", "accuracy"):
            events = read(whole / "tensorboard" / run).Scalars(tag)
            assert [event.step for event in events] == [8, 16, 24, 32]
            assert [event.value for event in events] == pytest.approx([float(row[f"{part}/{tag}"]) for row in table])
    maps = top.Images("decision_map")
    assert [image.step for image in maps] == [0, 8, 16, 32]  # epochs 0, 1, 2 and the last
    files = sorted((whole / "figures" / "epochs").iterdir())
    assert [image.encoded_image_string for image in maps] == [file.read_bytes() for file in files]
    assert top.Images("final/learning")[0].encoded_image_string[:4] == b"GIF8"
    assert b"max_epochs: 4" in top.Tensors("config")[0].tensor_proto.string_val[0]
    content = top.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    assert start.hparams["optimizer.lr"].number_value == 1e-3 and start.hparams["seed"].number_value == 0
    result = json.loads((whole / "result.json").read_text())
    assert top.Scalars("test/accuracy")[-1].value == pytest.approx(result["test"]["accuracy"])
    assert "hp_metric" not in top.Tags()["scalars"]


# The same config gives the same bits.


def test_a_repetition_is_the_same_run(whole, base, tmp_path):
    train(base, tmp_path / "run")
    assert_same_run(whole, tmp_path / "run")


def test_seeds_matter_and_zero_is_a_seed(base, tmp_path):
    results = {seed: train(quick(base, seed=seed), tmp_path / str(seed)) for seed in (0, 1)}
    again = train(quick(base, data__seed=0), tmp_path / "data")
    assert len({result["state_sha256"] for result in (*results.values(), again)}) == 3


def test_nothing_is_kept_without_a_folder(base, whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = fit(base, None)
    assert result["state_sha256"] == json.loads((whole / "result.json").read_text())["state_sha256"]
    assert list(tmp_path.iterdir()) == []


# Going on after an interruption.


class StopAt(MemberCallback):
    """Ask for a stop, as Ctrl-C does, after so many minibatches, or at the end of an epoch."""

    def __init__(self, minibatches):
        self.minibatches = minibatches

    def on_train_batch_end(self, trainer, classifier, *_):
        if classifier.minibatches >= self.minibatches:
            classifier.interrupted = True


@pytest.fixture(params=(1, 3, 1000))
def block(request, monkeypatch):
    limit_blocks(monkeypatch, request.param)
    return request.param


def limit_blocks(monkeypatch, minibatches):
    init = blocks.BlockLoader.__init__

    def limited(self, *args, **options):
        init(self, *args, **{"block_minibatches": minibatches} | options)

    monkeypatch.setattr(blocks.BlockLoader, "__init__", limited)


def interrupt(config, folder, minibatches, **options):
    folder.mkdir(parents=True, exist_ok=True)
    with pytest.raises(KeyboardInterrupt):
        fit_members([config], [folder], observer=StopAt(minibatches), **options)
    assert status(folder) == "interrupted" and not (folder / "result.json").exists()


@pytest.fixture(scope="module")
def watched(base):
    """A config whose early stopping has something to remember."""
    return quick(base, callbacks__early_stopping={
        "_target_": "mlplab.training.callbacks.EarlyStopping", "monitor": "train/loss", "patience": 3, "min_delta": 0.0,
    })  # fmt: skip


@pytest.fixture(scope="module")
def uninterrupted(watched, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    train(watched, folder)
    return folder


@pytest.mark.parametrize("minibatches", (1, 4, 8, 9, 15, 16, 23, 31))
def test_a_stopped_run_goes_on_to_the_same_bits(watched, uninterrupted, tmp_path, block, minibatches):
    config = watched
    interrupt(config, tmp_path / "parts", minibatches)
    stopped = checkpoint.load(tmp_path / "parts" / "checkpoints" / "last.ckpt")["minibatches"]
    assert minibatches <= stopped < minibatches + min(block, 8)
    train(config, tmp_path / "parts", resume=True)
    assert_same_run(uninterrupted, tmp_path / "parts")


@pytest.mark.parametrize("minibatches", (8, 11))
def test_a_stopped_run_has_the_same_pictures_and_events(base, whole, tmp_path, monkeypatch, minibatches):
    from mlplab.training.events import read_events

    limit_blocks(monkeypatch, 3)
    folder = tmp_path / "run"
    interrupt(base, folder, minibatches)
    train(base, folder, resume=True)
    assert_same_run(whole, folder)

    def content(root):
        events = [event for file in sorted(root.rglob("events*")) for event in read_events(file)]
        return sorted(
            (event.step, value.tag) for event in events for value in event.summary.value if "hparams" not in value.tag
        )

    assert content(folder / "tensorboard") == content(whole / "tensorboard")


def test_many_stops(base, tmp_path, monkeypatch):
    limit_blocks(monkeypatch, 1)
    options = {
        "model__dropout": 0.2, "trainer__accumulate_grad_batches": 3, "trainer__gradient_clip_val": 0.5,
        "schedule": {"_target_": "mlplab.training.schedules.Cosine", "final_fraction": 0.0, "warmup_epochs": 1},
        "data__drop_last": False, "data__batch_size": 15, "trainer__max_epochs": 3,
    }  # fmt: skip
    config = quick(base, **options)
    train(config, tmp_path / "whole")
    interrupt(config, tmp_path / "parts", 1)
    for minibatches in range(3, 27, 3):
        interrupt(config, tmp_path / "parts", minibatches, resume=True)
    train(config, tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_sgd_with_momentum_goes_on_to_the_same_bits(base, tmp_path):
    options = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}
    config = quick(base, optimizer={"_target_": "mlplab.training.optimizers.SGD", "_partial_": True, **options})
    train(config, tmp_path / "whole")
    interrupt(config, tmp_path / "parts", 8)
    train(config, tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_torchs_optimizer_goes_on_to_the_same_bits(base, tmp_path):
    config = quick(base, optimizer={"_target_": "torch.optim.RMSprop", "_partial_": True, "lr": 1e-2, "momentum": 0.5})
    train(config, tmp_path / "whole")
    interrupt(config, tmp_path / "parts", 8)
    train(config, tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_double_precision_goes_on_to_the_same_bits(base, tmp_path):
    config = quick(base, trainer__precision="64-true")
    train(config, tmp_path / "whole")
    interrupt(config, tmp_path / "parts", 16)
    train(config, tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    assert checkpoint.load(tmp_path / "parts" / "checkpoints" / "last.ckpt")["model"]["layers.0.weight"].dtype == torch.float64


def test_resuming_a_finished_run_changes_nothing(base, tmp_path):
    config = quick(base)
    first = train(config, tmp_path / "run")
    table = (tmp_path / "run" / "metrics.csv").read_bytes()
    again = train(config, tmp_path / "run", resume=True)
    assert comparable(first) == comparable(again)
    assert (tmp_path / "run" / "metrics.csv").read_bytes() == table and status(tmp_path / "run") == "finished"


def test_resuming_before_the_first_checkpoint_starts_afresh(base, tmp_path):
    config = quick(base)
    train(config, tmp_path / "whole")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "metrics.csv").write_text("epoch,step\n1,8\n")
    train(config, folder, resume=True)
    assert_same_run(tmp_path / "whole", folder)


def test_a_damaged_checkpoint_is_refused_and_the_folder_stays_as_it_was(base, tmp_path):
    config, folder = quick(base), tmp_path / "run"
    interrupt(config, folder, 8)
    file = folder / "checkpoints" / "last.ckpt"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="damaged"):
        train(config, folder, resume=True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert status(folder) == "interrupted"


def test_a_checkpoint_of_another_config_is_refused(base, tmp_path):
    interrupt(quick(base), tmp_path / "run", 8)
    with pytest.raises(InputError, match="another config"):
        train(quick(base, optimizer__lr=0.5), tmp_path / "run", resume=True)


class Kill(MemberCallback):
    """End the process without a word, as the kernel does when memory runs out."""

    def __init__(self, minibatches):
        self.minibatches = minibatches

    def on_train_batch_end(self, trainer, classifier, *_):
        if classifier.minibatches >= self.minibatches:
            os.kill(os.getpid(), signal.SIGKILL)


def in_a_killed_process(config, folder, minibatches, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of threads, which torch may have started
        child = os.fork()
    if child == 0:
        try:
            fit_members([config], [folder], observer=Kill(minibatches), **options)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_killed_again_and_again_goes_on_to_the_same_bits(base, tmp_path, monkeypatch):
    limit_blocks(monkeypatch, 3)
    config, folder = quick(base, callbacks__checkpoints__every_seconds=0), tmp_path / "parts"
    train(config, tmp_path / "whole")
    folder.mkdir()
    for minibatches in (1, 7, 8, 16, 17, 31):
        in_a_killed_process(config, folder, minibatches, resume=minibatches > 1)
        assert status(folder) == "running"
        assert minibatches < 8 or (folder / "checkpoints" / "last.ckpt").exists()
    train(config, folder, resume=True)
    assert_same_run(tmp_path / "whole", folder)


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM))
def test_a_signal_saves_the_state_and_says_interrupted(base, tmp_path, number):
    before = signal.getsignal(number)

    class Signal(MemberCallback):
        def on_epoch(self, trainer, classifier):
            if classifier.epochs == 2:
                os.kill(os.getpid(), number)

    (tmp_path / "parts").mkdir()
    with pytest.raises(KeyboardInterrupt):
        fit_members([quick(base)], [tmp_path / "parts"], observer=Signal())
    assert signal.getsignal(number) is before
    assert status(tmp_path / "parts") == "interrupted"
    assert checkpoint.load(tmp_path / "parts" / "checkpoints" / "last.ckpt")["epochs"] in (2, 3)
    train(quick(base), tmp_path / "whole")
    train(quick(base), tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_a_second_signal_stops_at_once(base, tmp_path):
    class Impatient(MemberCallback):
        def on_train_batch_start(self, trainer, classifier, *_):
            if classifier.minibatches == 8:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(1)

    (tmp_path / "run").mkdir()
    with pytest.raises(KeyboardInterrupt):
        fit_members([quick(base)], [tmp_path / "run"], observer=Impatient())
    assert status(tmp_path / "run") == "interrupted"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_fitting_works_outside_of_the_main_thread(base, tmp_path):
    found = []
    worker = threading.Thread(target=lambda: found.append(train(quick(base), tmp_path / "run")))
    worker.start()
    worker.join()
    assert found[0]["state_sha256"] == train(quick(base), tmp_path / "main")["state_sha256"]


def test_an_error_is_recorded(base, tmp_path):
    class Broken(MemberCallback):
        def on_epoch(self, trainer, classifier):
            raise RuntimeError("a fault of its own")

    (tmp_path / "run").mkdir()
    with pytest.raises(RuntimeError, match="a fault of its own"):
        fit_members([quick(base)], [tmp_path / "run"], observer=Broken())
    record = json.loads((tmp_path / "run" / "status.json").read_text())
    assert record["status"] == "failed" and "a fault of its own" in record["error"]


# Members that end before the others.


@pytest.mark.parametrize("lr", (1e30, 1e10))
def test_divergence_is_recorded_with_a_finite_state(base, tmp_path, block, lr):
    config = quick(base, optimizer={
        "_target_": "mlplab.training.optimizers.SGD", "_partial_": True, "lr": lr, "momentum": 0.0, "nesterov": False,
        "weight_decay": 0.0,
    })  # fmt: skip
    result = train(config, tmp_path / "run")
    assert result["status"] == "diverged" == status(tmp_path / "run") and result["stopped"] == "diverged"
    assert result["epochs"] < 4 and result["steps"] <= 32
    assert "not finite" in json.loads((tmp_path / "run" / "status.json").read_text())["error"]
    state = checkpoint.load(tmp_path / "run" / "checkpoints" / "last.ckpt")
    for name in ("model", "optimizer"):
        for value in _tensors(state[name]):
            assert value.isfinite().all()
    assert 0 <= result["test"]["accuracy"] <= 1
    table = rows(tmp_path / "run") if (tmp_path / "run" / "metrics.csv").exists() else []
    assert len(table) == result["epochs"] and "nan" not in str(table)


def _tensors(value):
    return [leaf for part in value.values() for leaf in _tensors(part)] if isinstance(value, dict) else [value]


def test_without_the_guard_training_goes_on(base, tmp_path):
    config = quick(base, callbacks__divergence_guard=None, optimizer__lr=1e30, evaluate_state="last")
    result = train(config, tmp_path / "run")
    assert result["status"] == "finished" and result["epochs"] == 4


def test_early_stopping_ends_after_its_patience(base, tmp_path):
    stopping = {"_target_": "mlplab.training.callbacks.EarlyStopping", "monitor": "val/loss", "patience": 2}
    config = quick(base, callbacks__early_stopping={**stopping, "min_delta": 100.0}, trainer__max_epochs=9)
    result = train(config, tmp_path / "run")
    # The first epoch is an improvement on nothing.
    assert (result["epochs"], result["steps"], result["stopped"]) == (3, 24, "early stopping")
    assert result["status"] == "finished" and len(rows(tmp_path / "run")) == 3


# Many jobs as one population.


def variants(base):
    def one(**changes):
        return quick(base, trainer__max_epochs=3, **changes)

    return [
        one(seed=0), one(seed=1), one(seed=1, optimizer__lr=0.05), one(seed=2, data__seed=5),
        one(seed=3, data__noise=0.4, optimizer__weight_decay=0.1), one(seed=4, evaluate_state="last"),
        one(seed=0, optimizer__betas=[0.5, 0.9]), one(seed=5, optimizer__lr=1e25), one(seed=6, model__init_seed=0),
    ]  # fmt: skip


@pytest.mark.parametrize("changes", ({}, {"model__dropout": 0.3, "trainer__gradient_clip_val": 0.1}), ids=str)
def test_a_member_leaves_what_a_run_alone_leaves(base, tmp_path, changes):
    configs = [changed(config, **changes) for config in variants(base)]
    folders = [tmp_path / "together" / str(i) for i in range(len(configs))]
    for folder in folders:
        folder.mkdir(parents=True)
    told = []
    results = fit_members(configs, folders, on_result=lambda index, result: told.append(index))
    assert told == list(range(len(configs)))
    for index, (config, folder, result) in enumerate(zip(configs, folders, results)):
        alone = train(config, tmp_path / "alone" / str(index))
        assert comparable(alone) == comparable(result) == comparable(json.loads((folder / "result.json").read_text()))
        for name in ("metrics.csv", "config.yaml"):
            pair = [parent / name for parent in (folder, tmp_path / "alone" / str(index))]
            assert pair[0].exists() == pair[1].exists()
            assert not pair[0].exists() or pair[0].read_bytes() == pair[1].read_bytes()
        assert status(folder) == result["status"]
    assert results[7]["status"] == "diverged" and {r["status"] for r in results[:7]} == {"finished"}


def test_members_have_their_own_pictures(base, whole, tmp_path):
    configs = [base, changed(base, seed=1, figures="map")]
    for name in "01":
        (tmp_path / name).mkdir()
    fit_members(configs, [tmp_path / "0", tmp_path / "1"])
    assert_same_run(whole, tmp_path / "0")
    assert (tmp_path / "0/figures/decision_map.png").read_bytes() != (tmp_path / "1/figures/decision_map.png").read_bytes()


def test_a_stopped_population_goes_on_to_the_same_bits(base, tmp_path):
    stopping = {"_target_": "mlplab.training.callbacks.EarlyStopping", "monitor": "val/loss", "patience": 1, "min_delta": 0.02}
    configs = [changed(config, callbacks__early_stopping=stopping, trainer__max_epochs=6) for config in variants(base)]
    whole = [tmp_path / "whole" / str(i) for i in range(len(configs))]
    parts = [tmp_path / "parts" / str(i) for i in range(len(configs))]
    for folder in (*whole, *parts):
        folder.mkdir(parents=True)
    results = fit_members(configs, whole)
    assert len({result["epochs"] for result in results}) > 2
    with pytest.raises(KeyboardInterrupt):
        fit_members(configs, parts, observer=StopAt(24))
    assert {status(folder) for folder in parts} == {"interrupted"}
    resumed = fit_members(configs, parts, resume=True)
    assert [comparable(r) for r in resumed] == [comparable(r) for r in results]
    for a, b in zip(whole, parts):
        assert (a / "metrics.csv").exists() == (b / "metrics.csv").exists()
        assert not (a / "metrics.csv").exists() or (a / "metrics.csv").read_bytes() == (b / "metrics.csv").read_bytes()


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"data__batch_size": 32}, "data.batch_size"),
        ({"trainer__max_epochs": 9}, "trainer"),
        ({"loss__label_smoothing": 0.1}, "loss"),
        ({"optimizer___target_": "mlplab.training.optimizers.AdamW"}, "optimizer._target_"),
        ({"schedule": {"_target_": "mlplab.training.schedules.Cosine"}}, "schedule"),
    ],
)
def test_jobs_that_are_no_population_are_refused(base, change, key):
    with pytest.raises(InputError, match=f"{key} must be the same in all jobs"):
        fit_members([quick(base), quick(base, **change)], [None, None])


# A user's own network, loss and data.

OWN = """
import torch
from torch import nn

class Radial(nn.Module):
    def __init__(self, in_features, out_features, seed=None, width=5):
        super().__init__()
        self.norm = nn.BatchNorm1d(in_features)
        self.centres = nn.Linear(in_features, width)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(width, out_features)

    def forward(self, x):
        return self.head(self.drop(torch.exp(-self.centres(self.norm(x)) ** 2)))

class Wrong(Radial):
    def forward(self, x):
        return super().forward(x)[:, :-1]

class Faulty(Radial):
    def forward(self, x):
        raise KeyError("a slip")

class Halved(nn.Module):
    def forward(self, logits, labels):
        return nn.functional.cross_entropy(logits, labels) / 2
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own_networks.py").write_text(textwrap.dedent(OWN))
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_networks"
    sys.modules.pop("own_networks", None)


def test_a_users_network_trains_alone_and_among_others(base, tmp_path, own_module):
    configs = [quick(base, model={"_target_": f"{own_module}.Radial", "width": 7}, seed=seed) for seed in range(3)]
    folders = [tmp_path / "together" / str(i) for i in range(3)]
    for folder in folders:
        folder.mkdir(parents=True)
    results = fit_members(configs, folders)
    for index, (config, result) in enumerate(zip(configs, results)):
        alone = train(config, tmp_path / "alone" / str(index))
        assert comparable(alone) == comparable(result)
    assert len({result["state_sha256"] for result in results}) == 3
    assert results[0]["parameters"] == 2 + 2 + 2 * 7 + 7 + 7 * 4 + 4
    interrupt(configs[0], tmp_path / "parts", 16)
    assert comparable(train(configs[0], tmp_path / "parts", resume=True)) == comparable(results[0])


def test_a_users_network_has_its_pictures(base, tmp_path, own_module):
    config = changed(base, model={"_target_": f"{own_module}.Radial"}, trainer__max_epochs=2)
    train(config, tmp_path / "run")
    assert (tmp_path / "run" / "figures" / "decision_map.png").exists()


def test_a_users_loss(base, tmp_path, own_module):
    sgd = {"_target_": "mlplab.training.optimizers.SGD", "_partial_": True, "lr": 0.25}
    plain = train(quick(base, optimizer=sgd), tmp_path / "plain")
    halved = train(
        quick(base, optimizer=sgd | {"lr": 0.5}, loss={"_target_": f"{own_module}.Halved"}), tmp_path / "halved"
    )
    assert halved["test"]["nll"] == pytest.approx(plain["test"]["nll"], rel=1e-4)
    own, half = (float(rows(tmp_path / name)[-1]["val/loss"]) for name in ("plain", "halved"))
    assert half == pytest.approx(own / 2, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": {"_target_": "own_networks.Nothing"}}, "model._target_=own_networks.Nothing cannot be found"),
        ({"model": {"_target_": "no_such_module.Net"}}, "model._target_=no_such_module.Net cannot be found"),
        ({"model": {"_target_": "own_networks.Radial", "depth": 3}}, "model._target_=own_networks.Radial cannot be built"),
        ({"model": {"_target_": "collections.Counter"}}, "model._target_ must name a torch.nn.Module"),
        ({"model": {"_target_": "own_networks.Wrong"}}, r"Wrong must give logits \(2, 4\) .* got \(2, 3\)"),
        ({"model": {"_target_": "own_networks.Faulty"}}, "Faulty cannot take inputs .*a slip"),
        ({"model__activation": {"name": "gelu", "approximate": "no"}}, "model.activation: gelu refuses"),
        ({"loss__weight": [1.0, 2.0]}, "loss.weight must be a list of 4, one a class, got 2"),
        ({"optimizer": {"_target_": "own_networks.Nothing"}}, "optimizer._target_=own_networks.Nothing cannot be found"),
        ({"schedule": {"_target_": "own_networks.Nothing"}}, "schedule._target_"),
        ({"callbacks__timing": {"_target_": "own_networks.Nothing"}}, "callbacks.timing._target_"),
        ({"data__batch_size": 1000}, "data.batch_size must be at most .* 128, got 1000"),
        ({"trainer__precision": "16-mixed"}, "trainer.precision must be one of 32-true, 64-true, got '16-mixed'"),
        ({"trainer__limit_train_batches": 0.01}, "trainer.limit_train_batches=0.01 leaves no minibatch"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(base, tmp_path, own_module, change, words):
    folder = tmp_path / "run"
    with pytest.raises(InputError, match=words) as caught:
        train(quick(base, **change), folder)
    assert "\n" not in str(caught.value)
    assert [path.name for path in folder.iterdir() if path.name not in ("status.json", "config.yaml", "manifest.json")] == []


def test_torchs_loss_with_options_trains_as_the_labs(base, tmp_path):
    found = {}
    for target in ("mlplab.core.losses.CrossEntropy", "torch.nn.CrossEntropyLoss"):
        loss = {"_target_": target, "weight": [1.0, 4.0, 0.5, 1.0], "ignore_index": -100, "label_smoothing": 0.1}
        options = {"optimizer": {"_target_": "mlplab.training.optimizers.SGD", "_partial_": True, "lr": 0.3}}
        found[target] = train(quick(base, loss=loss, **options), tmp_path / target)
        found[target]["table"] = float(rows(tmp_path / target)[-1]["val/loss"])
    own, theirs = found.values()
    assert own["test"]["nll"] == pytest.approx(theirs["test"]["nll"], rel=1e-5)
    assert own["table"] == pytest.approx(theirs["table"], rel=1e-5)
    assert own["table"] != pytest.approx(own["validation"]["nll"], rel=1e-2)


def test_gpu_is_refused_in_one_line_where_there_is_none(base):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(InputError, match="trainer=gpu needs .* use trainer=cpu") as caught:
        fit(quick(base, trainer__accelerator="gpu"), None)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_trains_and_goes_on_to_the_same_bits(base, tmp_path):
    config = changed(base, trainer__accelerator="gpu")
    result = train(config, tmp_path / "whole")
    assert result["device"].startswith("cuda")
    interrupt(config, tmp_path / "parts", 8)
    train(config, tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_fast_dev_run_keeps_nothing_but_its_result(base, tmp_path):
    result = train(quick(base, trainer__fast_dev_run=True), tmp_path / "run")
    assert (result["epochs"], result["steps"]) == (1, 1)
    assert not (tmp_path / "run" / "checkpoints").exists() and not (tmp_path / "run" / "metrics.csv").exists()


def test_max_steps_inside_of_an_epoch(base, tmp_path, block):
    result = train(quick(base, trainer__max_steps=11), tmp_path / "run")
    assert (result["epochs"], result["steps"]) == (2, 11)
    assert [int(row["step"]) for row in rows(tmp_path / "run")] == [8, 11]


def test_images_are_classified_too(tmp_path, base):
    from mlplab.core.mlp import MLP
    from mlplab.training.arrays import ArrayDataModule, Points
    from mlplab.training.classifier import Classifier
    from mlplab.training.trainer import Trainer

    class Bars(ArrayDataModule):
        def prepare(self):
            x = torch.rand(90, 1, 4, 4, generator=torch.Generator().manual_seed(self.seed))
            y = torch.arange(90) % 3
            x[torch.arange(90), 0, y] += 2
            self.classes, self.density = 3, None
            parts = [Points(x[a:b], y[a:b]) for a, b in ((0, 60), (60, 75), (75, 90))]
            return dict(zip(("train", "validation", "test"), parts)) | {"fresh": None}

    data, classifier = Bars(batch_size=10), Classifier(MLP(16, [8], 3))
    Trainer(accelerator="cpu", max_epochs=60, callbacks=[]).fit(classifier, data)
    accuracy = (classifier(data.test.x).argmax(1) == data.test.y).double().mean()
    assert accuracy == 1.0
