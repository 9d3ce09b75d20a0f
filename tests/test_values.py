"""Values of the four rooms of what is computed and kept: what describes something once cannot be changed behind a back."""

import dataclasses
import importlib
import inspect
import pkgutil

import pytest
import torch
import yaml
from lightning.pytorch import Trainer

from mlplab.data import datasets, modules
from mlplab.data.arrays import ArrayDataModule
from mlplab.data.file_module import FileDataModule, FileDataModule01
from mlplab.nn.activations import LIFRate
from mlplab.nn.losses import CrossEntropy, cross_entropy, soft_targets
from mlplab.nn.mlp import MLP, Dropout
from mlplab.population import optimizers, schedules
from mlplab.population.state import Rules
from mlplab.training.trainers import BlockTrainer
from mlplab.words import conf_folder

# These are filled or renewed as a training or a listing goes on.
CHANGING = {"EpochSums", "Job", "Run", "Stop", "SweepFolder", "SweepRecord", "Table"}
MODULES = [
    importlib.import_module(f"{room}.{module.name}")
    for room in ("mlplab.nn", "mlplab.population", "mlplab.data", "mlplab.runs")
    for module in pkgutil.iter_modules(importlib.import_module(room).__path__)
]
KINDS = [
    kind
    for module in MODULES
    for kind in vars(module).values()
    if inspect.isclass(kind) and dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__qualname__)
def test_only_what_must_change_can_be_changed(kind):
    value = object.__new__(kind)
    names = [field.name for field in dataclasses.fields(kind)] or ["anything"]
    for name in names:
        if kind.__name__ in CHANGING:
            setattr(value, name, None)
        else:
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(value, name, None)


def test_the_list_of_what_changes_holds_nothing_else():
    assert {kind.__name__ for kind in KINDS} >= CHANGING and len(KINDS) > 15


def defaults(function):
    return {
        parameter.name: parameter.default
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is not parameter.empty
    }


def in_conf(name):
    """The defaults of an option in conf/, links to other keys left out."""
    plain = yaml.safe_load((conf_folder() / f"{name}.yaml").read_text())
    for entry in plain.pop("defaults", []):
        if entry != "_self_":
            plain = yaml.safe_load((conf_folder() / name).with_name(f"{entry}.yaml").read_text()) | plain
    return {
        key: float(value) if isinstance(value, str) and value[:1].isdigit() else value
        for key, value in plain.items()
        if not key.startswith("_") and not str(value).startswith("${")
    }


SETS = {
    "spiral": (modules.SpiralDataModule, datasets.spirals, datasets.spiral_density),
    "circles": (modules.CirclesDataModule, datasets.circles, datasets.circles_density),
    "moons": (modules.MoonsDataModule, datasets.moons, datasets.moons_density),
    "xor": (modules.XorDataModule, datasets.xor, datasets.xor_density),
    "blobs": (modules.BlobsDataModule, datasets.blobs, datasets.blobs_density),
}


@pytest.mark.parametrize("name", SETS)
def test_what_is_drawn_its_density_its_data_module_and_the_config_have_the_same_defaults(name):
    module, draw, density = SETS[name]
    wanted = in_conf(f"data/{name}")
    base = defaults(ArrayDataModule.__init__)
    own = defaults(module.__init__)
    assert base | own | wanted == base | own and base["order_seed"] == 0
    # The tutorial's own points have the ends of the arms; the density alone is of any winding.
    for function, others in ((draw, {"with_ends": True}), (density, {"winding": 2.0})):
        for key, value in defaults(function).items():
            assert value == others.get(key, wanted.get(key)), (function, key)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("data/file", FileDataModule),
        ("model/mlp", MLP),
        ("loss/cross_entropy", CrossEntropy),
        ("schedule/cosine", schedules.Cosine),
        ("schedule/one_cycle", schedules.OneCycle),
        ("schedule/step", schedules.Step),
    ],
)
def test_a_class_and_its_config_have_the_same_defaults(name, kind):
    own = defaults(kind) | (defaults(ArrayDataModule) if kind is FileDataModule else {})
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in own.items()}
    wanted = in_conf(name)
    wanted.pop("path", None)
    assert wanted == {key: plain[key] for key in wanted} and wanted


@pytest.mark.parametrize(
    ("own", "others", "apart"),
    [
        (optimizers.Adam, torch.optim.Adam, {}),
        (optimizers.AdamW, torch.optim.AdamW, {}),
        (optimizers.SGD, torch.optim.SGD, {"lr": 1e-2}),
        (schedules.OneCycle, lambda warmup_fraction=0.3: None, {"initial_fraction": 1 / 25, "final_fraction": 4e-6}),
        (CrossEntropy, torch.nn.CrossEntropyLoss, {}),
        (cross_entropy, torch.nn.functional.cross_entropy, {}),
        (Dropout, torch.nn.Dropout, {"layer": 0}),
        (BlockTrainer, Trainer, {"max_epochs": 100, "gradient_clip_algorithm": "norm", "precision": "32-true"}),
        (Rules, Trainer, {"max_epochs": 100, "gradient_clip_algorithm": "norm"}),
        (LIFRate, lambda resistance=10.0, tau_ref=0.05, softness=0.1, rest=0.0: None, {}),
    ],
    ids=lambda kind: getattr(kind, "__name__", ""),
)
def test_defaults_are_those_of_torch_and_lightning_but_for_what_is_said(own, others, apart):
    theirs = {key: 1.0 if key == "limit_train_batches" else value for key, value in defaults(others).items()}
    theirs |= {"overfit_batches": 0, "fast_dev_run": False} | apart
    for name, value in defaults(own).items():
        if name != "serving":
            assert value == theirs[name], name


def test_a_file_of_version_0_1_is_neither_standardised_nor_stratified():
    assert defaults(FileDataModule01) == {"standardize": False, "stratify": False}
    assert defaults(soft_targets) | {"reduction": "mean"} == defaults(cross_entropy) | {"dtype": torch.float32}
