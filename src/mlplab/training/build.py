"""From configs to runs: each job's data, module and loggers, and the trainer's options and callbacks."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import Parameter
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Checkpoint
from torch import nn

from mlplab.data.arrays import ArrayDataModule
from mlplab.errors import InputError
from mlplab.options import ACCELERATOR
from mlplab.population.stacking import stack
from mlplab.population.state import PRECISIONS
from mlplab.runs.files import read_record
from mlplab.runs.folder import RunFolder
from mlplab.seeds import derive, same_generators, seed_all
from mlplab.training.callbacks import MemberCallback, Progress
from mlplab.training.classifier import Classifier
from mlplab.training.data_view import TRANSFERS, DataView, viewed
from mlplab.training.loading import load_network, start_from
from mlplab.training.members import SingleNetwork, network_of
from mlplab.training.objects import arguments_of, build, find_class, try_loss, try_optimizer, try_schedule
from mlplab.training.record import MemberRun, share_data

# What is not Lightning's among the keys of `trainer`.
OWN_KEYS = ("threads", "engine")
CLASSIFIER = {"_target_": "mlplab.training.classifier.Classifier"}


def build_runs(configs: Sequence[dict[str, Any]], folders: Sequence[RunFolder | None]) -> list[MemberRun]:
    """Make each job's data, module and loggers; jobs with the same points share them."""
    datas = build_data(configs)
    runs = [MemberRun(c, f, d, build_loggers(c, f)) for c, f, d in zip(configs, folders, datas)]
    for run in runs:
        run.module = build_module(run.config, run.data)
        if run.config.get("init_from") is not None:
            start_from(run.module, run.config["init_from"])
        run.mode, run.draws = run.config.get("mode", "min"), run.config["seed"]
    try_out(runs[0])
    expect_dtype(runs[0].module, runs[0].data, configs[0]["trainer"].get("precision"))
    return runs


def build_data(configs: Sequence[dict[str, Any]]) -> list[Any]:
    """Make each job's data, set up; jobs with the same points share them."""
    modules = []
    for config in configs:
        with drawing(
            config["data"].get("seed") or 0, "data"
        ):  # as with the lab's own, another seed of the run is not another split
            modules.append(build(config["data"], "data"))
    if all(isinstance(module, ArrayDataModule) for module in modules):
        return share_data(modules, [config["data"] for config in configs])
    views = []
    for config, module in zip(configs, modules):
        with drawing(config["data"].get("seed") or 0, "points"):
            views.append(viewed(module))
    return views


def build_loggers(config: dict[str, Any], folder: RunFolder | None) -> list[Any]:
    """Make a job's loggers; each is given the run's folder by the name that its class has for it."""
    loggers = []
    for name, node in (config.get("logger") or {}).items():
        if node is None or folder is None or config["trainer"]["fast_dev_run"]:
            continue
        accepted = arguments_of(find_class(node, "logger"))
        tensorboard = node["_target_"].endswith("TensorBoardLogger") and "folder" in accepted
        place = {"folder": str(folder.tensorboard if tensorboard else folder.path), "save_dir": str(folder.path)}
        if "tracking_uri" in accepted and node.get("tracking_uri") is None and node.get("save_dir") is None:
            place = {"tracking_uri": f"sqlite:///{folder.path / 'mlflow.db'}"}
        if node["_target_"].endswith("WandbLogger"):
            place["reinit"] = "create_new"  # each job has a run of its own, several in one process
            accepted = {**accepted, "reinit": None}
        given = {key: value for key, value in place.items() if key in accepted and node.get(key) is None}
        loggers.append(build(node, f"logger.{name}", **given))
    return loggers


def build_module(config: dict[str, Any], data: Any) -> L.LightningModule:
    """Make a job's LightningModule; it is given what its class asks for by name.

    ``model``, ``loss``, ``optimizer`` and ``schedule`` come from their groups, ``monitor``, ``mode`` and ``seed``
    from the config, ``in_features``, ``out_features`` and ``classes`` from the data.
    """
    node = dict(config.get("module") or CLASSIFIER)
    kind = find_class(node, "module")
    accepted = arguments_of(kind)
    dtype = PRECISIONS.get(config["trainer"]["precision"], torch.float32)
    takes_all = issubclass(kind, Classifier) and any(p.kind is Parameter.VAR_KEYWORD for p in accepted.values())

    def wants(name: str) -> bool:
        return (name in accepted or takes_all) and node.get(name) is None

    more: dict[str, Any] = {}
    if wants("model"):
        more["model"] = build_model(config, data).to(dtype)
    if wants("loss"):
        more["loss"] = build_loss(config, data.classes, dtype)
    if wants("optimizer"):
        more["optimizer"] = build(config["optimizer"], "optimizer")
        try_optimizer(more["optimizer"])
    if wants("schedule"):
        more["schedule"] = build(config["schedule"], "schedule")
        try_schedule(more["schedule"])
    known = {"monitor": config.get("monitor"), "mode": config.get("mode"), "seed": config["seed"], **features_of(data)}
    more |= {name: value for name, value in known.items() if name in accepted and wants(name) and value is not None}
    if takes_all:
        more |= {name: known[name] for name in ("monitor", "mode", "seed") if known[name] is not None}
    with drawing(config["seed"]):
        return build(node, "module", **more)


def features_of(data: Any) -> dict[str, int | None]:
    """Give the sizes of inputs and outputs that the data ask for, where they are known."""
    features = None
    if data.input_shape is not None:
        features = 1
        for size in data.input_shape:
            features *= size
    return {"in_features": features, "out_features": data.classes, "classes": data.classes}


def build_model(config: dict[str, Any], data: Any) -> nn.Module:
    """Make a job's network; what its class asks for by name and the config leaves open is filled in.

    ``in_features``, ``out_features`` come from the data, ``seed`` from the config. A class that does not take a seed
    is built with torch's global generator seeded for it, which is put back after.
    """
    node = dict(config["model"])
    accepted = arguments_of(find_class(node, "model"))
    known = {**features_of(data), "seed": config["seed"]}
    node |= {
        name: value
        for name, value in known.items()
        if name in accepted and node.get(name) is None and value is not None
    }
    with drawing(config["seed"]):
        return build(node, "model")


@contextmanager
def drawing(seed: Any, label: str = "weights") -> Iterator[None]:
    """Seed the global generators for the length of a block, and put them back."""
    with same_generators():
        seed_all(derive(seed if isinstance(seed, int) else 0, label))
        yield


def build_loss(config: dict[str, Any], classes: int | None, dtype: torch.dtype) -> nn.Module:
    """Make the loss; class weights, which torch's own takes as a tensor only, must be one a class."""
    node, weight = dict(config["loss"]), config["loss"].get("weight")
    more = {}
    if isinstance(weight, list):
        if classes is not None and len(weight) != classes:
            raise InputError(f"loss.weight must be a list of {classes}, one a class, got {len(weight)}")
        more["weight"] = torch.tensor(weight, dtype=dtype)
    loss = build(node, "loss", **more)
    loss.node = node
    if classes is not None:
        try_loss(loss, classes, dtype)
    return loss


def initialise_lazy(module: L.LightningModule, data: Any) -> None:
    """Make the weights of layers that wait for their first batch, from two train points.

    Raises:
        InputError: there are such layers, and the points are not known.
    """
    if not any(isinstance(parameter, nn.parameter.UninitializedParameter) for parameter in module.parameters()):
        return
    if data.train is None:
        raise InputError(
            "the network has lazy layers: give it one batch before it is trained, these data have no points in memory"
        )
    SingleNetwork(network_of(module)).forward(data.train.x[None, :2])


def try_out(run: MemberRun) -> None:
    """Refuse a classifier's network that does not fit the data before anything is trained."""
    if not isinstance(run.module, Classifier) or run.data.train is None:
        return
    model = run.module.model
    kind = next((p.dtype for p in model.parameters()), torch.float32)
    x = run.data.train.x[:2].to(kind)
    try:
        shape = tuple(SingleNetwork(model).forward(x[None])[0].shape)
    except Exception as error:  # a user's own code
        reason = " ".join(str(error).split())
        raise InputError(f"model: {type(model).__name__} cannot take inputs {tuple(x.shape)}: {reason}") from error
    if shape != (len(x), run.data.classes):
        raise InputError(
            f"model: {type(model).__name__} must give logits {(len(x), run.data.classes)} for inputs {tuple(x.shape)}, "
            f"got {shape}"
        )


def expect_dtype(module: L.LightningModule, data: Any, precision: Any) -> None:
    """Refuse inputs of a dtype that a classifier's network cannot take: Lightning hands them on as a loader yields them.

    Args:
        module: what is trained.
        data: as the lab looks at it.
        precision: of the trainer; 64-true and the like make floating inputs their own, mixed ones those of 32 bits or fewer.
    """
    steps = ("training_step", "forward", *TRANSFERS)
    plain = isinstance(module, Classifier) and all(getattr(type(module), n) is getattr(Classifier, n) for n in steps)
    x = data.first_input() if plain and isinstance(data, DataView) else None
    kind = next((p.dtype for p in module.parameters() if p.is_floating_point()), None)
    mixed = str(precision).endswith("-mixed")
    converts = not mixed and precision not in (None, "32-true")
    if x is None or kind in (None, x.dtype) or x.is_floating_point() and converts:
        return
    network = SingleNetwork(network_of(module))
    try:
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            network.forward(x[None])
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"the data's inputs must be {kind}, as the network's parameters are, got {x.dtype}; x.to({kind}) converts them"
        ) from error


def trainer_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Give the options of Lightning's Trainer in a config."""
    options = {name: value for name, value in config["trainer"].items() if name not in OWN_KEYS}
    options["accelerator"] = choose_accelerator(options["accelerator"])
    return options


def choose_accelerator(name: str) -> str:
    """Turn ``trainer.accelerator`` into what Lightning is given.

    Args:
        name: "auto" takes a GPU where there is one.

    Raises:
        InputError: this machine or this build of torch has no such device.
    """
    ACCELERATOR.check("trainer.accelerator", name)
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        # Apple's GPU loses to its CPU on networks this small, so that it is taken only when asked for.
        return "gpu" if cuda else "cpu"
    if name in ("gpu", "cuda") and not cuda:
        raise InputError(
            f"trainer=gpu needs an NVIDIA or AMD GPU that torch {torch.__version__} can use, and finds none; "
            "use trainer=cpu"
        )
    if name == "mps" and not mps:
        raise InputError("trainer=mps needs an Apple GPU, and torch finds none; use trainer=cpu")
    return name


def build_callbacks(config: Mapping[str, Any], observer: MemberCallback | None = None) -> list[L.Callback]:
    """Make the callbacks of a config; an observer takes the place of the progress bar."""
    nodes = (config.get("callbacks") or {}).items()
    callbacks = [build(node, f"callbacks.{name}") for name, node in nodes if node is not None]
    if config["trainer"]["fast_dev_run"]:
        callbacks = [callback for callback in callbacks if not isinstance(callback, Checkpoint)]
    if observer is not None:
        callbacks = [*(callback for callback in callbacks if not isinstance(callback, Progress)), observer]
    return callbacks


def load_population(folder: RunFolder, config: Mapping[str, Any], data: Any, which: str) -> Any:
    """Build a run's network as a population of one, which computes to the bits of the engine that trained it.

    Args:
        folder: the run.
        config: its config, plain values.
        data: its data, set up.
        which: "best" or "last".
    """
    module = build_module(config, data)
    load_network(module, folder, config, which)
    manifest = read_record(folder.manifest) if folder.manifest.is_file() else {}
    if manifest.get("engine", "population") == "population" and isinstance(module, Classifier):
        return stack([module.model], [config["seed"]])
    return SingleNetwork(network_of(module))
