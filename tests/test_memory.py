"""How much memory a job takes is estimated before anything is built, and what does not fit is refused by its figure."""

import os
import re
import resource
from pathlib import Path

import pytest

from mlplab.cli.app import main
from mlplab.config.composition import compose
from mlplab.errors import InputError
from mlplab.nn.mlp import MLP
from mlplab.runs import memory


@pytest.mark.parametrize(
    ("words", "figure"),
    [
        (["model.width=60000", "model.depth=2"], r"model.width=60000 and model.depth=2 \(3,600,480,004 parameters\)"),
        (["model.hidden=[200000,200000]"], "model.hidden of 2 layers"),
        (["data.points_per_arm=1000000000"], r"data.points_per_arm=1000000000 \(4,000,000,000 points\)"),
        (["data=blobs", "data.points_per_class=1000000000"], "data.points_per_class=1000000000"),
        (["data.fresh_points=1000000000"], "data.fresh_points=1000000000"),
        (["data.validation_points=1000000000"], "data.validation_points=1000000000"),
        (["model=spiking_mlp", "model.steps=1000000"], r"model.steps=1000000 \(of 128 units\)"),
        (
            ["model=spiking_mlp", "model.steps=2000000", "model.width=1", "data.batch_size=1"],
            r"model.steps=2000000 \(of 1 unit\)",
        ),
        (
            ["data.arms=1000", "callbacks.decision_maps.resolution=4096"],
            r"callbacks.decision_maps.resolution=4096 \(1000 classes\)",
        ),
        (["data.arms=1000", "data.fresh_points=4000000"], "data.fresh_points=4000000"),
        (
            ["data.batch_size=3000", "model.depth=10000", "model.width=100"],
            r"data.batch_size=3000 \(of 1,000,000 units\)",
        ),
    ],
)
@pytest.mark.parametrize("many", [[], ["-m", "seed=0,1"]])
def test_what_cannot_fit_is_refused_before_a_folder_is_made(words, figure, many, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MLPLAB_MEMORY_GB", "16")
    assert main(["train", *many, *words, f"paths.logs={tmp_path / 'logs'}"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "and there are 16.0 GB" in told and "MLPLAB_MEMORY_GB" in told
    assert re.search(figure, told), told
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("words", "figure"),
    [
        (["lif", "input=noise", "input.neurons=1000000000"], "input.neurons=1000000000"),
        (["relu_approximation", "n=[9,1000000000]"], "n=1000000000"),
        (["relu_approximation", "n=1" + 400 * "0", "method=depth"], "n=10000"),
        (["spiking", "runs=[x]", "depth_width=100000"], "depth_width=100000, depth_seeds=8 and depths up to 4"),
        (["spiking", "runs=[x]", "surrogate.steps=10000000"], "surrogate.steps=10000000"),
        (["train", "-m", "seed=range(0,1000000)", "model.width=3"], "1,000,000 jobs"),
        (
            ["train", "-m", "hydra/sweeper=search", "model.depth=int(interval(1,3))"]
            + ["search.trials=9000000", "search.sampler=random"],
            "9,000,000 jobs",
        ),
    ],
)
def test_a_study_or_sweep_that_cannot_fit_is_refused_before_a_folder_is_made(
    words, figure, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("MLPLAB_MEMORY_GB", "4")
    assert main([*words, f"paths.logs={tmp_path / 'logs'}"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and f"got {figure}" in told and "GB in all, and there are 4.0 GB" in told, told
    assert not (tmp_path / "logs").exists()


def test_maps_that_are_not_drawn_take_nothing():
    for words in (["figures=none"], ["callbacks.decision_maps=null"]):
        config = compose("train", ["callbacks.decision_maps.resolution=4096", *words])
        assert sum(memory.needs(config).values()) < 1e8


def test_parameters_are_those_of_the_network():
    for words in (["model.width=7", "model.depth=3"], ["model.hidden=[5,9]"], ["model.hidden=[]"], ["data.arms=9"]):
        config = compose("train", words)
        network = MLP(2, memory.hidden_widths(config), config.data.arms, seed=0)
        assert memory.parameters(config) == sum(p.numel() for p in network.parameters())


def test_the_default_run_needs_little_and_a_smaller_limit_refuses_it(monkeypatch):
    config = compose("train")
    assert 1e6 < sum(memory.needs(config).values()) < 1e8
    memory.expect_memory(config)
    monkeypatch.setenv("MLPLAB_MEMORY_GB", "0.001")
    with pytest.raises(InputError, match=r"got data.fresh_points=20000 \(20,000 points\)"):
        memory.expect_memory(config)


def test_double_precision_takes_twice_as_much():
    single, double = (
        memory.needs(compose("train", ["model.depth=3", f"trainer.precision={p}-true"])) for p in (32, 64)
    )
    (name,) = (name for name in single if name.startswith("model."))
    assert double[name] == 2 * single[name] > 0


def test_the_limit_is_the_least_of_the_machines_its_groups_and_the_process_own(monkeypatch):
    monkeypatch.delenv("MLPLAB_MEMORY_GB", raising=False)
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < memory.machine_bytes() <= whole
    monkeypatch.setattr(resource, "getrlimit", lambda _: (12345, 99999))
    assert memory.machine_bytes() == 12345


def test_what_says_nothing_of_its_size_is_not_guessed_at():
    assert memory.needs({"model": {"_target_": "mine.Network"}, "data": {"_target_": "mine.Data"}}) == {}
    assert memory.needs({}) == {}


@pytest.mark.parametrize("words", ["nan", "-1", "0", "inf", "much"])
def test_a_limit_that_is_none_is_refused(monkeypatch, words):
    monkeypatch.setenv("MLPLAB_MEMORY_GB", words)
    with pytest.raises(InputError, match=f"^MLPLAB_MEMORY_GB must be a number of gigabytes > 0, got '{words}'$"):
        memory.machine_bytes()


@pytest.mark.parametrize("batch", [8, 512])
def test_what_a_minibatch_takes_is_counted_by_units_points_and_bytes_of_a_number(batch):
    found = {}
    for precision in ("32-true", "64-true"):
        config = {
            "model": {"width": 30, "depth": 2},
            "data": {"batch_size": batch},
            "trainer": {"precision": precision},
        }
        (found[precision],) = (v for k, v in memory.needs(config).items() if k.startswith(f"data.batch_size={batch} "))
    assert found["32-true"] == memory.NUMBERS_A_UNIT * 4 * batch * 60 and found["64-true"] == 2 * found["32-true"]
    spiking = {"model": {"width": 30, "depth": 2, "steps": 50}, "data": {"batch_size": batch}}
    (bytes_of_steps,) = (value for words, value in memory.needs(spiking).items() if words.startswith("model.steps=50 "))
    kept = 50 * memory.NUMBERS_A_SPIKING_STEP * 4 * batch * 60
    assert bytes_of_steps == kept + 50 * memory.BYTES_A_SPIKING_STEP * 2


def test_the_estimate_is_the_table_of_what_was_measured_times_what_the_config_asks_for():
    """In bytes: 16 numbers a parameter, 2 a unit and point, 200 a point, 4 for each of its logits, 120 and 16 of a map."""
    config = {
        "model": {"hidden": [3, 5]},
        "data": {"arms": 2, "points_per_arm": 10, "batch_size": 64, "validation_points": 7, "fresh_points": 9},
        "callbacks": {"decision_maps": {"resolution": 6}},
    }
    assert memory.needs(config) == {
        f"model.hidden of 2 layers ({3 * 3 + 4 * 5 + 6 * 2} parameters)": 16 * 4 * 41,
        "data.batch_size=20 (of 8 units)": 2 * 4 * 20 * 8,
        "data.points_per_arm=10 (20 points)": (200 + 2 * 4) * 20,
        "data.validation_points=7 (7 points)": (200 + 2 * 4) * 7,
        "data.fresh_points=9 (9 points)": (200 + 2 * 4) * 9,
        "callbacks.decision_maps.resolution=6 (2 classes)": (120 + 16 * 2) * 36,
    }
    del config["callbacks"]
    assert memory.needs(config | {"data": {}, "model": {"depth": 1}}) == {
        f"model.depth=1 ({3 * 128 + 129 * 4} parameters)": 16 * 4 * 900,
        "data.batch_size=1 (of 128 units)": 2 * 4 * 128,
    }
    assert memory.points_of({}) == 3200 and memory.points_of({"data": {"classes": 3, "points_per_class": 5}}) == 15
    assert memory.hidden_widths({}) == [128] and memory.hidden_widths({"model": {"depth": 0}}) == []


def test_what_the_other_studies_need_is_the_same_table_times_what_they_ask_for():
    """In bytes: 100 a neuron, 8,000 a ReLU, 200 a trained one, 40 a training point, 9,000 a spiking layer's step."""
    assert memory.NEEDS["lif"]({"input": {"neurons": 7}}) == {"input.neurons=7": 700}
    assert memory.NEEDS["lif"]({"input": {}}) == {"input.neurons=0": 0}
    trained = {"networks": 3, "points": 11}
    relu = memory.NEEDS["relu_approximation"]
    assert relu({"n": 5, "trained": trained, "method": {"names": ["minimax"]}}) == {"n=5": 40_000}
    assert relu({"n": [5, 9, 2], "trained": trained, "method": {"names": ["minimax", "trained"]}}) == {
        "n=9": 72_000 + 200 * 9 * 3,
        "trained.points=11": 40 * 11 * 3,
    }
    assert relu({"n": [5], "trained": trained, "method": {"names": ["trained"]}})["n=5"] == 200 * 5 * 3
    config = {"depth_width": 10, "depths": [1, 4], "depth_seeds": 2, "surrogate": {"steps": 30, "epochs": 1}}
    assert memory.NEEDS["spiking"](config) == {
        "depth_width=10, depth_seeds=2 and depths up to 4 (600 parameters)": 4 * 16 * 600,
        "surrogate.steps=30": 9000 * 30,
    }
    none = memory.NEEDS["spiking"](config | {"depths": [], "surrogate": {"steps": 30, "epochs": 0}})
    assert list(none.values()) == [0, 0] and "depths up to 0 (0 parameters)" in next(iter(none))


def test_nine_tenths_of_the_memory_may_be_taken(monkeypatch):
    monkeypatch.setenv("MLPLAB_MEMORY_GB", "1")
    memory.expect_room({"a": 4.5e8, "b": 4.5e8})
    with pytest.raises(InputError, match=r"got b: about 0\.9 GB in all, and there are 1\.0 GB"):
        memory.expect_room({"a": 4.4e8, "b": 4.7e8})
    with pytest.raises(InputError, match="got a: "):  # too large for a float
        memory.expect_room({"a": 10**400})


def test_threads_count_where_the_address_space_is_limited(monkeypatch):
    def limited(number):
        monkeypatch.setattr(resource, "getrlimit", lambda _: (number, -1))

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limited(resource.RLIM_INFINITY)
    assert memory._threads(1000) == {}
    limited((used + 100 * 72e6) / 0.9)
    assert memory._threads(70) == {}
    ((words, count),) = memory._threads(200).items()
    assert words == "trainer.threads=200 within a limited address space"
    assert count == pytest.approx(used + 200 * 72e6, rel=0.05)
    limited(1)
    assert memory._threads(1) == {} != memory._threads(2)
