"""On a GPU: the same training as on a CPU, the same bits again, and every command. Skipped where there is none."""

import copy
import json
from functools import partial

import lightning.pytorch as L
import pytest
import torch
from omegaconf import OmegaConf
from small_runs import SMALL, StopAt, assert_same_run, status
from sweeping import folder_of, jobs_of, record_of
from test_equality import FEATURES, classifier, weights
from torch import nn

import mlplab
from mlplab.cli.app import main
from mlplab.config.composition import compose
from mlplab.errors import InputError
from mlplab.population.blocks import Serving
from mlplab.training.fit import fit, fit_members

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
    pytest.mark.filterwarnings("ignore"),
]
QUIET = ["figures=none", "logger=none", "callbacks.decision_maps=null", "callbacks.progress=null"]
SHORT_BLOCKS = Serving(minibatches=3)
ON_GPU = [word for word in SMALL if not word.startswith("trainer.accelerator")] + ["trainer=gpu"]


def config(*words):
    return OmegaConf.to_container(compose("train", [*QUIET, "trainer=gpu", *words]))


class OwnOrder(mlplab.SpiralDataModule):
    """The order of a CPU, which a module that says its own keeps on every device."""

    def order(self, epoch):
        return super().order(epoch)


def spirals(**options):
    data = OwnOrder(points_per_arm=80, **{"batch_size": 16, "fresh_points": 0, "validation_points": 40} | options)
    data.setup()
    for part in ("train", "validation", "test"):
        points = getattr(data, part)
        setattr(data, part, type(points)(points.x.double(), points.y))
    return data


def ordinary():
    """A network of torch's own parts, which the engine walks; some of them draw."""
    with torch.random.fork_rng():
        return nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 4))


@pytest.mark.parametrize("name", FEATURES)
def test_both_engines_and_both_devices_train_to_the_same_weights(name):
    options, own, network, of_data = FEATURES[name]
    found = {}
    for device, engine in (("gpu", "population"), ("gpu", "lightning"), ("cpu", "population")):
        module = classifier(own, network, of_data.get("arms", 4))
        before = weights(module)
        result = mlplab.fit(
            module,
            spirals(**of_data),
            engine=engine,
            callbacks=[],
            max_epochs=4,
            precision="64-true",
            accelerator=device,
            **options,
        )
        assert result["engine"] == engine and result["device"].startswith("cuda" if device == "gpu" else "cpu")
        found[device, engine] = weights(module).cpu()
        assert float((found[device, engine] - before).abs().max()) > 1e-3
    wanted = found.pop(("cpu", "population"))
    for key, value in found.items():
        assert float((value - wanted).abs().max() / wanted.abs().max()) < 1e-9, key


@pytest.mark.parametrize(
    "words",
    [
        ["trainer.max_epochs=5"],
        ["trainer.max_epochs=3", "model.dropout=0.1", "optimizer=adamw", "trainer.gradient_clip_val=0.5"],
        ["trainer.max_epochs=3", "optimizer=sgd", "schedule=cosine", "data.drop_last=false", "model.depth=3"],
    ],
)
@pytest.mark.parametrize("engine", ["population", "lightning"])
def test_a_run_is_repeated_to_the_bit(words, engine):
    first, second = (fit(config(*words, f"trainer.engine={engine}"), None) for _ in range(2))
    assert first["device"].startswith("cuda") and first["engine"] == engine
    assert first["state_sha256"] == second["state_sha256"]


def test_the_global_generators_of_both_devices_are_left_alone():
    before = torch.cuda.get_rng_state(), torch.get_rng_state()
    for words in (["trainer=gpu"], ["trainer=gpu", "trainer.engine=lightning"], ["trainer=cpu"]):
        fit(config("trainer.max_epochs=1", "model.dropout=0.2", *words), None)
    for device in ("gpu", "cpu"):
        mlplab.fit(ordinary(), mlplab.SpiralDataModule(fresh_points=0), max_epochs=1, accelerator=device)
    assert torch.equal(before[0], torch.cuda.get_rng_state()) and torch.equal(before[1], torch.get_rng_state())


def test_a_member_is_the_single_run():
    base = config("model.width=16", "trainer.max_epochs=3")
    configs = [copy.deepcopy(base) for _ in range(5)]
    for seed, one in enumerate(configs):
        one["seed"] = one["data"]["order_seed"] = seed
    together = fit_members(configs, [None] * 5)
    for number in (0, 3):
        alone = fit(configs[number], None)
        assert together[number]["validation"]["nll"] == pytest.approx(alone["validation"]["nll"], rel=1e-4)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["trainer.engine=lightning"],
        *([f"trainer.precision={name}"] for name in ("bf16-mixed", "16-mixed", "bf16-true", "64-true")),
    ],
)
def test_a_gpu_reaches_what_a_cpu_reaches(words):
    result = fit(config("trainer.max_epochs=30", *words), None)
    assert result["device"].startswith("cuda") and result["test"]["accuracy"] > 0.95


@pytest.mark.parametrize("minibatches", (3, 8, 11, 31))
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path, minibatches):
    job = OmegaConf.to_container(compose("train", [*ON_GPU, "trainer.max_epochs=4", "paths.logs=unused"]))
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    fit(job, tmp_path / "whole", serving=SHORT_BLOCKS)
    with pytest.raises(KeyboardInterrupt):
        fit_members([job], [tmp_path / "parts"], observer=StopAt(minibatches), serving=SHORT_BLOCKS)
    assert status(tmp_path / "parts") == "interrupted"
    fit(job, tmp_path / "parts", resume=True, serving=SHORT_BLOCKS)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_a_run_goes_to_another_device_between_epochs_alone(tmp_path, monkeypatch):
    words = [*ON_GPU, "trainer=auto", "trainer.max_epochs=4", "paths.logs=unused"]
    words.remove("trainer=gpu")
    job = OmegaConf.to_container(compose("train", words))
    for minibatches in (8, 11):
        (tmp_path / str(minibatches)).mkdir()
        with pytest.raises(KeyboardInterrupt):
            fit_members([job], [tmp_path / str(minibatches)], observer=StopAt(minibatches), serving=SHORT_BLOCKS)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # as on a machine without one
    assert fit(job, tmp_path / "8", resume=True)["epochs"] == 4
    with pytest.raises(InputError, match="resume it with trainer=gpu, got trainer=cpu"):
        fit(job, tmp_path / "11", resume=True)


def test_every_command_reads_a_run_of_a_gpu(tmp_path, capsys):
    logs = f"paths.logs={tmp_path}"
    assert main(["train", *ON_GPU, logs, "name=run"]) == 0
    folder = tmp_path / "train" / "run"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["device"].startswith("cuda:0 ")
    result = json.loads((folder / "result.json").read_text())
    for words in (
        ["evaluate", str(folder)],
        ["reproduce", str(folder)],
        ["redraw", str(folder), "decision_map"],
        ["report", str(folder.parent)],
        ["train", f"resume={folder}", "trainer.max_epochs=5"],
        ["evaluate", str(folder)],
    ):
        code = main([*words, *([logs] if words[0] != "train" else [])])
        assert code == 0, (words, capsys.readouterr())
    longer = next(path for path in folder.parent.iterdir() if path != folder)
    assert json.loads((longer / "result.json").read_text())["epochs"] == 5
    run = mlplab.load(folder)
    assert next(run.model.parameters()).device.type == "cpu" and result["device"].startswith("cuda")


def test_a_sweep_trains_its_jobs_at_once(tmp_path):
    words = ["trainer.max_epochs=2", "figures=none", "sweep=s", f"paths.logs={tmp_path}"]
    assert (
        main(["train", "-m", *ON_GPU, *words, "seed=0,1,2", "model.width=4,6", "optimizer.lr=0.001,1e30"]) == 1
    )  # some diverged
    jobs = jobs_of(tmp_path)
    assert len(jobs) == 12 and record_of(tmp_path)["jobs"][0]["result"]["device"].startswith("cuda")
    states = {key: job["result"]["status"] for key, job in jobs.items()}
    assert {states[key] for key in states if "1e+30" in key} == {"diverged"}
    assert {states[key] for key in states if "1e+30" not in key} == {"finished"}
    assert main(["report", str(folder_of(tmp_path))]) == 0


@pytest.mark.parametrize(
    "words", [["model=spiking_mlp"], ["loss=torch"], ["data=moons"], ["model.depth=0"], ["model.depth=8"]]
)
def test_groups_of_the_config_train_there(words):
    try:
        job = config("trainer.max_epochs=2", *words)
    except InputError as error:
        pytest.fail(str(error))
    assert fit(job, None)["device"].startswith("cuda")


def test_what_is_too_large_for_the_device_is_refused_in_one_line(tmp_path, capsys):
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    taken = torch.empty(free - (1 << 30), dtype=torch.uint8, device="cuda")  # a gigabyte is left
    try:
        words = ["model.hidden=[12000,12000]", "trainer.max_epochs=1", "figures=none"]
        assert main(["train", *ON_GPU, *words, f"paths.logs={tmp_path}"]) == 2
    finally:
        del taken
        torch.cuda.empty_cache()
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("mlplab: this does not fit into memory") and "model.hidden=[12000, 12000]" in said


def test_a_stock_trainer_and_ones_own_module(tmp_path):
    data = mlplab.SpiralDataModule(fresh_points=0)
    model = mlplab.Classifier(mlplab.MLP(2, [64], 4, seed=0, dropout=0.1), optimizer=partial(torch.optim.Adam, lr=1e-2))
    trainer = L.Trainer(accelerator="gpu", devices=1, max_epochs=20, default_root_dir=tmp_path, logger=False)
    with torch.random.fork_rng():
        trainer.fit(model, data)
    assert trainer.callback_metrics["val/accuracy"] > 0.9
    assert mlplab.evaluate(model, data)["test"]["accuracy"] > 0.9
    mlplab.draw_decision_map(model, data).savefig(tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 10_000


def test_networks_that_are_there_already_and_lists_of_them():
    data = mlplab.SpiralDataModule(fresh_points=0)
    for network in (mlplab.MLP(2, [16], 4, seed=0), ordinary()):
        result = mlplab.fit(network.cuda(), data, max_epochs=3, accelerator="gpu")
        assert result["device"].startswith("cuda") and result["train"]["nll"] < 1.4
    several = [mlplab.MLP(2, [16], 4, seed=seed) for seed in range(3)]
    results = mlplab.fit(several, data, max_epochs=3, accelerator="cuda")
    assert [result["engine"] for result in results] == ["population"] * 3


def test_a_device_that_is_not_there_is_refused_in_one_line(tmp_path, capsys):
    count = torch.cuda.device_count()
    assert main(["train", *ON_GPU, f"trainer.devices=[{count}]", f"paths.logs={tmp_path}"]) == 2
    said = capsys.readouterr().err
    assert "trainer.devices" in said and "Traceback" not in said
    assert main(["train", *ON_GPU, f"trainer.devices={count + 1}", f"paths.logs={tmp_path}"]) == 2
    assert "trainer.devices" in capsys.readouterr().err
    assert not (tmp_path / "train").exists() or not list((tmp_path / "train").iterdir())
