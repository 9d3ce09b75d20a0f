"""The end of a run: measure the chosen state, write ``result.json`` and the figures, close the loggers."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    binary_auroc,
    multiclass_auroc,
    multiclass_confusion_matrix,
    multiclass_f1_score,
)

from mlplab.data.arrays import ArrayDataModule
from mlplab.data.baselines import baselines
from mlplab.data.bayes import regrets, scores
from mlplab.errors import InputError
from mlplab.nn.losses import negative_log_softmax
from mlplab.population.member_axis import Population
from mlplab.population.state import all_finite
from mlplab.runs.files import write_json
from mlplab.runs.identity import tensor_sha256
from mlplab.runs.manifest import write_status
from mlplab.runs.metrics import PARTS, calibration_error
from mlplab.runs.signals import deferred
from mlplab.training.callbacks.monitors import Timing
from mlplab.training.data_view import module_of
from mlplab.training.figures import draw_figures, write_page
from mlplab.training.loggers import RunFolderLogger
from mlplab.training.record import HYPERPARAMETERS, MemberRun, runs_of


def merit(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """Measure a classifier beyond accuracy and NLL.

    Args:
        logits: shape (N, C), N >= 1.
        labels: shape (N,), in 0..C-1.

    Returns:
        ``balanced_accuracy``, the mean recall of the classes that there are; ``f1_macro``, the mean over classes of
        2 TP / (2 TP + FP + FN); ``auroc``, of the second class where there are two, else the mean over classes of one
        against the rest, None unless each class has points and others; ``recall`` of each class, None where it has no
        point; ``confusion``, points by true class (rows) and predicted class (columns).
    """
    classes = logits.shape[1]
    predicted, probabilities = logits.argmax(1), logits.double().softmax(1)
    if classes == 1:
        counts = torch.tensor([[len(labels)]])
        f1 = 1.0
    else:
        counts = multiclass_confusion_matrix(predicted, labels, classes, validate_args=False)
        f1 = float(multiclass_f1_score(predicted, labels, classes, average="macro", validate_args=False))
    members = counts.sum(1)
    recall = [float(counts[k, k] / members[k]) if members[k] else None for k in range(classes)]
    known = [value for value in recall if value is not None]
    auroc = None
    if classes > 1 and bool((members > 0).all()) and bool(probabilities.isfinite().all()):
        if classes == 2:
            auroc = float(binary_auroc(probabilities[:, 1], labels, validate_args=False))
        else:
            auroc = float(multiclass_auroc(probabilities, labels, classes, average="macro", validate_args=False))
    return {
        "balanced_accuracy": math.fsum(known) / len(known),
        "f1_macro": f1,
        "auroc": auroc,
        "recall": recall,
        "confusion": counts.tolist(),
    }


FOLDS = 20


def mean_and_error(values: Tensor) -> tuple[float, float | None]:
    """Compute the mean of values (N,) at independent points and its standard error; None for a single point."""
    values = values.double()
    error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else None
    return values.mean().item(), error


def measure(logits: Tensor, labels: Tensor, log_posterior: Tensor | None = None) -> dict[str, Any]:
    """Measure a classifier on a set of points.

    Args:
        logits: shape (N, C), N >= 1.
        labels: shape (N,), in 0..C-1.
        log_posterior: of the Bayes classifier, shape (N, C), or None where the density is unknown.

    Returns:
        ``points``; ``accuracy`` in [0, 1]; ``nll``, the mean in nats; ``calibration_error``, the expected one
        over 15 bins (Naeini et al. 2015); ``bayes_accuracy`` and ``bayes_nll`` on the same points; and the
        regrets of :func:`mlplab.data.bayes.regrets`. Accuracy, NLL and regrets have a standard error over points under NAME``_se``,
        with the network and its training held fixed. What is of Bayes is None without a density.
    """
    log_q = -negative_log_softmax(logits.double())
    metrics: dict[str, Any] = {"points": len(labels)}
    metrics |= _with_errors(scores(log_q, labels))
    metrics["calibration_error"] = calibration_error(logits.double().softmax(1).numpy(), labels.numpy())
    names = ("accuracy_regret", "nll_regret")
    if log_posterior is None:
        return metrics | dict.fromkeys(("bayes_accuracy", "bayes_nll", *names, *(f"{name}_se" for name in names)))
    best = scores(log_posterior, labels)
    metrics |= {f"bayes_{name}": mean_and_error(values)[0] for name, values in best.items()}
    return metrics | _with_errors(dict(zip(names, regrets(log_q, log_posterior))))


def loss_folds(logits: Tensor, labels: Tensor, log_posterior: Tensor | None = None, folds: int = FOLDS) -> list[float]:
    """Average the loss over each of some folds of the points: point i belongs to fold i mod ``folds``.

    Settings that are judged on the same points share the luck of these points. Their losses fold by fold say how
    large it is (:func:`mlplab.report.crossed.worse`).

    Args:
        logits, labels, log_posterior: as in :func:`measure`.
        folds: how many, 1 or more; fewer where there are fewer points.

    Returns:
        Means of KL(p || q) where the posterior is known, else of the NLL.
    """
    log_q = -negative_log_softmax(logits.double())
    losses = scores(log_q, labels)["nll"] if log_posterior is None else regrets(log_q, log_posterior)[1]
    return [losses[place::folds].mean().item() for place in range(min(folds, len(losses)))]


def _with_errors(values: dict[str, Tensor]) -> dict[str, float | None]:
    metrics: dict[str, float | None] = {}
    for name, points in values.items():
        metrics[name], metrics[f"{name}_se"] = mean_and_error(points)
    return metrics


# Counted once for all runs of a process on the same points.
_counted: dict[str, dict[str, Any]] = {}


def table_facts(data: Any) -> dict[str, Any]:
    """Give ``result.json``'s entries of a file: ``class_names``, ``feature_names``, ``data`` and ``baselines``.

    Args:
        data: a data module, set up. Of data that is of no file only the names are given, where it has some.
    """
    named = {"class_names": data.class_names, "feature_names": data.feature_names}
    names = {name: list(own) for name, own in named.items() if own}
    if (recorded := data.recorded()) is None:
        return names
    if data.sha256 not in _counted:
        _counted.clear()
        _counted[data.sha256] = baselines(data.train, data.test, data.classes)
    return {**names, "data": recorded, "baselines": _counted[data.sha256]}


# What HPARAMS shows of a run; a fixed set, so that the tables of all runs have the same columns.
FINAL = ("test/accuracy", "test/nll", "fresh/accuracy", "fresh/nll", "fresh/accuracy_regret", "fresh/nll_regret")


def finish(trainer: Any, classifier: Any, started: float, on_result: Callable[[int, dict[str, Any]], None]) -> None:
    """Measure every member and write what its folder is to hold at the end.

    Args:
        trainer: after ``fit``, with ``runs``.
        classifier: the population, or the one network of Lightning's own loop.
        started: ``time.perf_counter()`` at the start of the job.
        on_result: called with each member's number and result, as in ``result.json``, when its folder is complete.
    """
    classifier.place()
    population = classifier.population
    states = [tensor_sha256(classifier.member_state(index)) for index in range(classifier.members)]
    finite = all_finite(classifier.theta).tolist()
    timing = next((c.seconds for c in trainer.callbacks if isinstance(c, Timing)), None)
    use_best = [
        run.config["evaluate_state"] == "best" and classifier.best.known(index)
        for index, run in enumerate(runs_of(trainer))
    ]
    rows = torch.tensor(use_best, device=classifier.theta.device).unsqueeze(1)
    buffers = {index: classifier.best.buffers[index] for index in classifier.best.buffers if use_best[index]}
    with population.at(torch.where(rows, classifier.best.theta, population.theta), buffers):
        for index, run in enumerate(runs_of(trainer)):
            logits = part_logits(population, index, run.data)
            shown = logits[run.data.shown_part]
            if shown is not None and not bool(torch.isfinite(shown).all()):
                shown = None  # nothing of it can be drawn
            result = describe(classifier, index, run, logits, finite[index]) | {
                "evaluated": "best" if use_best[index] else "last",
                "seconds": {"fit": timing, "total": None},
                "state_sha256": states[index],
            }
            if run.folder is not None:
                draw_figures(trainer, classifier, index, result, shown)
            result["seconds"]["total"] = time.perf_counter() - started
            end_loggers(run, result)
            if run.folder is not None and run.config.get("figures", "all") != "none":
                write_page(trainer, classifier, index, result, shown)
            with deferred():
                close(run, result)  # written last: a result means that everything else is complete
                on_result(index, result)


def part_logits(population: Population, index: int, data: ArrayDataModule) -> dict[str, Tensor | None]:
    """Compute a member's logits (N, C) on each part of some data, on the CPU; None where there is no such part."""
    logits: dict[str, Tensor | None] = {}
    for name in PARTS:
        points = getattr(data, name)
        if points is None:
            logits[name] = None
            continue
        x = points.x.to(population.theta)
        logits[name] = population.forward(x[None], slice(index, index + 1))[0].cpu()
        if logits[name].shape != (len(points.y), data.classes):
            logits[name] = None  # a module of a person's own, which gives something else than logits
    return logits


def part_metrics(logits: dict[str, Tensor | None], data: ArrayDataModule) -> dict[str, dict[str, Any] | None]:
    """Measure logits as :func:`part_logits` gives them, beside the Bayes classifier where that is known.

    The test points have :func:`mlplab.training.results.merit`'s metrics too, the validation points their losses by fold.
    """
    metrics = {
        name: None if values is None else measure(values, getattr(data, name).y, data.log_posterior(name))
        for name, values in logits.items()
    }
    if metrics["test"] is not None:
        metrics["test"] |= merit(logits["test"], data.test.y)
    if metrics["validation"] is not None:
        posterior = data.log_posterior("validation")
        metrics["validation"]["loss_folds"] = loss_folds(logits["validation"], data.validation.y, posterior)
    return metrics


def expect_some(metrics: dict[str, Any], data: Any) -> dict[str, Any]:
    """Give what was measured on the parts of some data.

    Raises:
        InputError: on no part anything was, so that nothing can be said of the network.
    """
    if not any(metrics.values()):
        raise InputError(
            f"there is nothing to measure on {type(module_of(data)).__name__}: its loaders must give floating-point "
            "inputs with an integer label each, and the network logits, (points, classes)"
        )
    return metrics


def describe(
    classifier: Any, index: int, run: MemberRun, logits: dict[str, Tensor | None], finite: bool
) -> dict[str, Any]:
    """Put together what ``result.json`` says of a member, but for times and the state's fingerprint.

    Args:
        classifier: the population, or the one network of Lightning's own loop.
        index: of the member.
        run: its run.
        logits: of the measured state.
        finite: whether all weights of the last state are; without a guard they may not be.
    """
    stop, best_epoch = classifier.stops.get(index), int(classifier.best.epoch[index])
    measured = part_metrics(logits, run.data)
    finite &= all(math.isfinite(metrics["nll"]) for metrics in measured.values() if metrics)
    return {
        "status": "finished" if finite and (stop is None or stop.reason != "diverged") else "diverged",
        "name": run.name,
        "seed": run.config["seed"],
        "data_seed": run.config["data"].get("seed"),
        "epochs": stop.epoch if stop else classifier.epochs,
        "steps": stop.step if stop else classifier.steps,
        "stopped": stop.reason if stop else None,
        "parameters": sum(torch.Size(shape).numel() for _, shape in classifier.population.names()),
        "device": str(classifier.root_device),
        **measured,
        **table_facts(run.data),
        "best_epoch": best_epoch if best_epoch >= 0 else None,
        "config_digest": run.digest,
        **({f"{classifier.replaced[0]}_by": classifier.replaced[1]} if classifier.replaced else {}),
        **({"engine": run.plan.engine, "engine_reason": run.plan.reason} if run.plan is not None else {}),
    }


def end_loggers(run: MemberRun, result: dict[str, Any]) -> None:
    """Hand a run's loggers its final metrics, and end their records."""
    failed = result["status"] == "diverged"
    final = {}
    for name in FINAL:
        part, metric = name.split("/")
        value = (result[part] or {}).get(metric)
        if value is not None:
            final[name] = value
    for logger in run.loggers:
        if isinstance(logger, RunFolderLogger):
            logger.log_hyperparams(
                {key: run.config[key] for key in HYPERPARAMETERS if key in run.config}
            )  # of a run that an older version began
            logger.log_final(final, result["steps"], "failed" if failed else "success")
        else:
            logger.finalize("failed" if failed else "success")
            if type(logger).__name__ == "WandbLogger":  # whose runs end with the process else
                logger.experiment.finish(exit_code=int(failed))


def close(run: MemberRun, result: dict[str, Any]) -> None:
    """Write result and status of a run; where it has a folder."""
    if run.folder is not None:
        write_json(run.folder.result, result)
        place = f"at step {result['steps']}, in epoch {result['epochs'] + 1}"
        words = f"the loss was not finite {place}" if result["status"] == "diverged" else None
        # The result, which is synced, says it too.
        write_status(run.folder.path, result["status"], words, sync=False)
