"""The lab from Python: train, load, measure and draw, in a line each."""

import copy
import itertools
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.compile import from_compiled
from matplotlib.figure import Figure
from torch import nn

from mlplab.data.bayes import log_posterior
from mlplab.errors import InputError
from mlplab.options import SEED, long_precision
from mlplab.plots.decision_map import decision_map
from mlplab.plots.run_figures import summary
from mlplab.rules import integer, near, shown
from mlplab.runs.files import read_record
from mlplab.runs.folder import RunFolder, open_run
from mlplab.seeds import in_turn
from mlplab.training.build import build_data, build_module, expect_dtype, initialise_lazy
from mlplab.training.callbacks import DivergenceGuard, Progress
from mlplab.training.callbacks.decision_maps import map_of
from mlplab.training.classifier import Classifier
from mlplab.training.data_view import module_of, viewed
from mlplab.training.fit import fit_runs
from mlplab.training.loading import load_network, read_weights
from mlplab.training.members import SingleNetwork, network_of, network_title
from mlplab.training.plan import parameters_of, plan
from mlplab.training.plane import plane_of
from mlplab.training.record import MemberRun
from mlplab.training.results import expect_some, part_logits, part_metrics
from mlplab.training.trainers import threads


class LoadedRun(NamedTuple):
    """A run read back from its folder.

    Attributes:
        model: the trained LightningModule at the state that the run evaluated, in evaluation mode.
        data: its data module, set up.
        config: the resolved config, plain values.
        result: what ``result.json`` holds.
    """

    model: L.LightningModule
    data: Any
    config: dict[str, Any]
    result: dict[str, Any]


def fit(
    model: nn.Module | Sequence[nn.Module],
    data: L.LightningDataModule,
    *,
    max_epochs: int = 100,
    engine: str = "auto",
    callbacks: Sequence[L.Callback] | None = None,
    seed: int = 0,
    **trainer: Any,
) -> dict[str, Any] | list[dict[str, Any]]:
    """Train a network, or many at once, in place. In several threads of a process one training waits for the other.

    Args:
        model: a `Classifier`, any LightningModule, or a network from (B, ...) to (B, C), which a `Classifier` is put
            round; or a list of them. Those that are plain and stack are trained as one population.
        data: any LightningDataModule.
        max_epochs: epochs.
        engine: "auto", "population" or "lightning"; see :func:`mlplab.training.plan.plan`.
        callbacks: callbacks; a progress line by default. Networks that cannot be trained at once get copies of them. A
            network whose loss is not finite stops there in any case, at its last finite state, and its result says
            ``diverged``.
        seed: of the first bare network's dropout, each further one has the next; a `Classifier` has its own.
        **trainer: options of Lightning's Trainer; ``logger`` for a single network only.

    Returns:
        The result, as in a run's ``result.json``; a list of them for a list.

    Raises:
        InputError: the networks do not fit the data, or ``engine="population"`` cannot train them.
    """
    SEED.check("seed", seed)
    _expect_data(data)
    _expect_arguments(callbacks, trainer)
    with in_turn():
        several = isinstance(model, (list, tuple))
        modules, view = _modules(list(model) if several else [model], seed), viewed(data)
        for module in modules:
            initialise_lazy(module, view)
            _require_fit(module, view)
            expect_dtype(module, view, long_precision(trainer.get("precision")))
        own = _callbacks(callbacks)
        unused = copy.deepcopy(own) if len(modules) > 1 else own
        loggers = _loggers(trainer.pop("logger", None), trainer.get("default_root_dir"))
        if loggers and len(modules) > 1:
            raise InputError("logger must be left out for a list of networks: their metrics are in what fit returns")
        options = {"max_epochs": max_epochs, "accelerator": "cpu", **trainer}
        if "precision" in options:
            options["precision"] = long_precision(options["precision"])
        runs = [_run(module, view, loggers, options, seed) for module in modules]
        for run in runs:
            run.plan = plan(run.module, data, options, own, engine)
        engine_only = all(run.plan.engine == "population" for run in runs)
        if engine_only:
            for logger in loggers:  # as Lightning does in its own loop
                logger.log_hyperparams(dict(modules[0].hparams))
        with threads(1 if options["accelerator"] == "cpu" and engine_only else torch.get_num_threads()):
            each = itertools.chain([own], (copy.deepcopy(unused) for _ in runs))
            results = fit_runs(runs, options, each, time.perf_counter())
        return results if several else results[0]


def _expect_data(data: Any) -> None:
    if not isinstance(module_of(data), L.LightningDataModule):
        raise InputError(
            f"data must be a LightningDataModule, got {type(data).__name__}; LightningDataModule.from_datasets makes one of a dataset"
        )


def _expect_arguments(callbacks: Any, trainer: Mapping[str, Any]) -> None:
    given = callbacks if isinstance(callbacks, (list, tuple)) else [] if callbacks is None else [callbacks]
    for callback in given:
        if not isinstance(callback, L.Callback):
            raise InputError(f"callbacks must be None, or a list of Lightning's callbacks, got {shown(callback)}")
    for name in trainer:
        if name == "ckpt_path":
            raise InputError(
                "fit has no ckpt_path: go on from a checkpoint with Lightning's Trainer().fit(model, data, ckpt_path=...)"
            )
        if name not in (known := parameters_of(L.Trainer.__init__)):
            raise InputError(
                f"fit must be given options of Lightning's Trainer, got {name}{near(name, ['max_epochs', 'engine', 'seed', *known])}"
            )


def _modules(models: list[nn.Module], seed: int) -> list[L.LightningModule]:
    """Give LightningModules of their own: as they are, or a `Classifier` round each network."""
    if not models:
        raise InputError("fit must be given at least one network, got an empty list")
    if len({id(model) for model in models}) != len(models):
        raise InputError("fit must be given different networks, got one of them twice")
    models = [from_compiled(m) if isinstance(getattr(m, "_orig_mod", None), L.LightningModule) else m for m in models]
    modules = [m if isinstance(m, L.LightningModule) else Classifier(m, seed=seed + i) for i, m in enumerate(models)]
    shared = Counter(id(parameter) for module in modules for parameter in set(module.parameters()))
    if max(shared.values(), default=0) > 1:
        raise InputError("fit must be given networks with parameters of their own, got some that share theirs")
    return modules


def _callbacks(given: Any) -> list[L.Callback]:
    """Give the callbacks of a training: a progress line by default, and always a guard against what is not finite."""
    own = [Progress()] if given is None else [given] if isinstance(given, L.Callback) else list(given)
    return own if any(isinstance(callback, DivergenceGuard) for callback in own) else [*own, DivergenceGuard()]


def _run(module: L.LightningModule, view: Any, loggers: list[Any], options: Mapping[str, Any], seed: int) -> MemberRun:
    """Describe a training that leaves no folder."""
    config = {"data": {}, "evaluate_state": "last", "figures": "none", "trainer": options}
    own = {"seed": getattr(module, "seed", seed), **config}
    return MemberRun(own, None, view, loggers, digest="-", module=module, mode=getattr(module, "mode", "min"))


def _loggers(given: Any, root: str | None) -> list[Any]:
    """Give the loggers that Lightning's ``logger=`` stands for; True is its own default, TensorBoard's files."""
    if given is True:
        return [TensorBoardLogger(root or ".")]
    return [] if given in (None, False) else list(given) if isinstance(given, (list, tuple)) else [given]


def load(run: str | Path, state: str | None = None) -> LoadedRun:
    """Read a run back: model, data, config and result.

    Args:
        run: its folder; or a JSON file of weights that a page saved, of which only the model comes back: data is None,
            config what the file says of itself.
        state: "best" or "last"; by default the one that the run evaluated.

    Raises:
        InputError: the folder is no run, is damaged, or names classes that are not trusted.
    """
    from omegaconf import OmegaConf

    from mlplab.config.composition import load_recorded

    if Path(run).suffix == ".json":
        network, config = read_weights(run)
        return LoadedRun(Classifier(network).eval(), None, config, {})
    folder: RunFolder = open_run(str(run))
    config = OmegaConf.to_container(load_recorded(folder.config))
    result = read_record(folder.result) if folder.result.is_file() else {}
    which = state or result.get("evaluated", "last")
    if which not in ("best", "last"):
        raise InputError(f"state must be best or last, got {which!r}")
    (data,) = build_data([config])
    module = build_module(config, data)
    load_network(module, folder, config, which)
    return LoadedRun(module.eval(), data, config, result)


def evaluate(model: nn.Module, data: L.LightningDataModule) -> dict[str, dict[str, Any]]:
    """Measure a network on every part of its data, beside the Bayes classifier where that is known.

    Args:
        model: a `Classifier`, or any module from (B, ...) to (B, C), trained or not.
        data: a data module.

    Returns:
        Part ("test", "fresh", "validation", "train"; those that are there) to the metrics of
        :func:`mlplab.training.results.measure`.
    """
    _expect_data(data)
    view = viewed(module_of(data), again=False)
    _require_fit(model, view)
    metrics = expect_some(part_metrics(part_logits(_network(model), 0, view), view), view)
    return {name: values for name, values in metrics.items() if values is not None}


def draw_decision_map(
    model: nn.Module,
    data: L.LightningDataModule,
    *,
    limit: float | None = None,
    resolution: int = 128,
    bayes: bool = False,
) -> Figure:
    """Draw what a network says of every place in the plane, with the test points.

    Args:
        model: a `Classifier`, or any module from (B, D) to (B, C), trained or not.
        data: a data module; of more than two features the two are drawn that separate the classes best.
        limit: the square [-limit, limit] is drawn; by default what holds the data.
        resolution: pixels of the grid along each side.
        bayes: add the boundary of the Bayes classifier.

    Returns:
        A ``Figure``, which a notebook shows by itself; ``figure.savefig("map.png")`` keeps it.

    Raises:
        InputError: the inputs are no vectors of two or more features.
    """
    integer(1, 4096).check("resolution", resolution)
    _expect_data(data)
    view = viewed(module_of(data), again=False)
    plane = plane_of(view, limit)
    if view.shown is None:
        raise InputError("a decision map needs test or validation points, and the data module has neither")
    if plane is None:
        raise InputError(f"a decision map needs inputs of two features or more, got inputs of shape {view.input_shape}")
    metrics = evaluate(model, data)[view.shown_part]
    network = _network(model)
    grid = map_of(_Holder(network), 0, plane, resolution)
    best = None
    if bayes and view.density is not None:
        best = log_posterior(plane.inputs(resolution), view.density).exp().reshape(grid.shape).numpy()
    x, y = view.shown
    predicted = network.forward(x.to(network.theta)[None])[0].argmax(1).cpu()
    wrong = int((predicted != y).sum())
    return decision_map(
        grid,
        plane.extent,
        plane.points(x),
        y.numpy(),
        predicted=predicted.numpy(),
        bayes=best,
        title=network_title(network.module),
        subtitle=summary(metrics["accuracy"], wrong, len(y), metrics["nll"], split=view.shown_part),
        split=view.shown_part,
        box=plane.box,
        class_names=view.class_names,
        axis_names=plane.names,
    )


class _Holder(NamedTuple):
    population: SingleNetwork

    @property
    def theta(self) -> torch.Tensor:
        return self.population.theta


def _network(model: nn.Module) -> SingleNetwork:
    return SingleNetwork(network_of(model))


def _require_fit(model: nn.Module, view: Any) -> None:
    """Refuse data of other inputs or classes than the network's."""
    if view.train is None or not isinstance(model, Classifier) and isinstance(model, L.LightningModule):
        return
    network = _network(model)
    x = view.train.x[:1].to(network.theta)
    try:
        outputs = network.forward(x[None]).shape[-1]
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"the network cannot take inputs of shape {view.input_shape}: {reason}") from error
    if outputs != view.classes:
        raise InputError(f"the network has {outputs} outputs; the data have {view.classes} classes")
