"""The end of a run: measure the chosen state, write ``result.json`` and the figures, close the loggers."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mlplab.data.arrays import ArrayDataModule
from mlplab.population.member_axis import Population
from mlplab.runs.files import write_json
from mlplab.runs.identity import tensor_sha256
from mlplab.runs.signals import held
from mlplab.runs.status import write_status
from mlplab.training.callbacks.decision_maps import DecisionMaps
from mlplab.training.callbacks.progress import Timing
from mlplab.training.evaluation import loss_folds, measure, merit, table_facts
from mlplab.training.figures import draw_figures
from mlplab.training.loggers import RunFolderLogger
from mlplab.training.record import MemberRun, runs_of
from mlplab.training.run_page import keep_run

PARTS = ("test", "fresh", "validation", "train")
# What HPARAMS shows of a run; a fixed set, so that the tables of all runs have the same columns.
FINAL = ("test/accuracy", "test/nll", "fresh/accuracy", "fresh/nll", "fresh/accuracy_regret", "fresh/nll_regret")

HYPERPARAMETERS = ("seed", "data", "model", "loss", "optimizer", "schedule", "trainer")


def finish(
    trainer: Any, classifier: Any, started: float, on_result: Callable[[int, dict], None] | None = None
) -> list[dict[str, Any]]:
    """Measure every member and write what its folder is to hold at the end.

    Args:
        trainer: after ``fit``, with ``runs``.
        classifier: the population, or the one network of Lightning's own loop.
        started: ``time.perf_counter()`` at the start of the job.
        on_result: called with each member's number and result when its folder is complete.

    Returns:
        One result a member, as in ``result.json``.
    """
    classifier.place()
    population = classifier.population
    states = [tensor_sha256(classifier.member_state(index)) for index in range(classifier.members)]
    timing = next((c.seconds for c in trainer.callbacks if isinstance(c, Timing)), None)
    use_best = [
        run.config["evaluate_state"] == "best" and classifier.best.known(index)
        for index, run in enumerate(runs_of(trainer))
    ]
    rows = torch.tensor(use_best, device=classifier.theta.device).unsqueeze(1)
    buffers = {index: classifier.best.buffers[index] for index in classifier.best.buffers if use_best[index]}
    results = []
    with population.at(torch.where(rows, classifier.best.theta, population.theta), buffers):
        for index, run in enumerate(runs_of(trainer)):
            logits = part_logits(population, index, run.data)
            result = describe(classifier, index, run, logits) | {
                "evaluated": "best" if use_best[index] else "last",
                "seconds": {"fit": timing, "total": None},
                "state_sha256": states[index],
            }
            if run.folder is not None:
                draw_figures(trainer, classifier, index, result, logits["test"])
            result["seconds"]["total"] = time.perf_counter() - started
            end_loggers(run, result)
            if run.folder is not None and run.config.get("figures", "all") != "none":
                write_pages(trainer, classifier, index, result, logits["test"])
            with held():
                close(run, result)  # written last: a result means that everything else is complete
                results.append(result)
                if on_result is not None:
                    on_result(index, result)
    return results


def write_pages(trainer: Any, classifier: Any, index: int, result: dict[str, Any], test_logits: Tensor) -> None:
    """Keep a member's snapshots and write the page of its run; the population stands at the measured state."""
    if test_logits is None:
        return
    run, maps = trainer.runs[index], next((c for c in trainer.callbacks if isinstance(c, DecisionMaps)), DecisionMaps())
    epoch = result["best_epoch"] if result["evaluated"] == "best" else result["epochs"]
    keep_run(
        run, classifier.population, index, epoch, maps.weights.get(index, {}), test_logits, maps.plane(run.data), result
    )


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


def part_figures(logits: dict[str, Tensor | None], data: ArrayDataModule) -> dict[str, dict[str, Any] | None]:
    """Measure logits as :func:`part_logits` gives them, beside the Bayes classifier where that is known.

    The test points have :func:`mlplab.training.evaluation.merit`'s metrics too, the validation points their losses by fold.
    """
    figures = {
        name: None if values is None else measure(values, getattr(data, name).y, data.log_posterior(name))
        for name, values in logits.items()
    }
    if figures["test"] is not None:
        figures["test"] |= merit(logits["test"], data.test.y)
    if figures["validation"] is not None:
        posterior = data.log_posterior("validation")
        figures["validation"]["loss_folds"] = loss_folds(logits["validation"], data.validation.y, posterior)
    return figures


def describe(classifier: Any, index: int, run: MemberRun, logits: dict[str, Tensor | None]) -> dict[str, Any]:
    """Put together what ``result.json`` says of a member, but for times and the state's fingerprint."""
    stop, best_epoch = classifier.stops.get(index), int(classifier.best.epoch[index])
    return {
        "status": "diverged" if stop is not None and stop.reason == "diverged" else "finished",
        "name": run.name,
        "seed": run.config["seed"],
        "data_seed": run.config["data"].get("seed"),
        "epochs": stop.epoch if stop else classifier.epochs,
        "steps": stop.step if stop else classifier.steps,
        "stopped": stop.reason if stop else None,
        "parameters": sum(torch.Size(shape).numel() for _, shape in classifier.population.names()),
        "device": str(getattr(classifier, "root_device", classifier.theta.device)),
        **part_figures(logits, run.data),
        **table_facts(run.data),
        "best_epoch": best_epoch if best_epoch >= 0 else None,
        "config_digest": run.digest,
        **({"averaged_by": classifier.averages} if getattr(classifier, "averages", None) else {}),
        **({"engine": run.plan.engine, "engine_reason": run.plan.reason} if run.plan is not None else {}),
    }


def end_loggers(run: MemberRun, result: dict[str, Any]) -> None:
    """Hand a run's loggers its final figures, and end their records."""
    failed = result["status"] == "diverged"
    final = {}
    for name in FINAL:
        part, figure = name.split("/")
        value = (result[part] or {}).get(figure)
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
