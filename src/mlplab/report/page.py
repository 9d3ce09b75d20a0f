"""What the page of a sweep is made of: the table, and the weights and curves of its runs."""

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlplab.pages.page import address, law_of, options_of
from mlplab.pages.report_page import report_page
from mlplab.report import words
from mlplab.report.learning import read_curve
from mlplab.report.table import MERIT, Setting, Table
from mlplab.runs.checkpoint import read_snapshots
from mlplab.runs.files import unflatten
from mlplab.runs.folder import RunFolder
from mlplab.runs.identity import Role, role_of
from mlplab.runs.names import Defaults, short_names, shown
from mlplab.runs.sweep_folder import config_of
from mlplab.runs.sweep_record import Job
from mlplab.words import conf_folder

# From this number of runs on, the page holds the weights of each setting's median run alone.
MANY_RUNS = 300
# Columns of the table in words that the page takes as they are.
VERDICT = ("against the selected", "p")
# Key, label, whether it is a share, whether more is better; the part comes before.
METRICS = (
    ("nll", "NLL", False, False),
    ("accuracy", "accuracy", True, True),
    ("nll_regret", "regret in NLL", False, False),
    ("accuracy_regret", "regret in accuracy", True, False),
    ("calibration_error", "calibration error", True, False),
    ("balanced_accuracy", "balanced accuracy", True, True),
    ("f1_macro", "F1", True, True),
    ("auroc", "AUROC", True, True),
)


def sweep_page(
    table: Table,
    place: Path,
    sentences: Sequence[str],
    more: Sequence[tuple[str, Sequence[str]]] = (),
    pictures: Sequence[tuple[str, str, bytes]] = (),
) -> str:
    """Build the page of a table of sweeps.

    Args:
        table: of the sweeps.
        place: the folder of the page, from which its links go.
        sentences: at the top.
        more: further (heading, lines) at the end; those without lines are left out.
        pictures: (name, caption, PNG bytes) that the page cannot draw itself.
    """
    metrics = metrics_of(table)
    only_medians = len(table.jobs) > MANY_RUNS
    configs = [next(filter(None, map(config_of, setting.jobs)), {}) for setting in table.settings]
    defaults = Defaults(conf_folder())
    rows = [
        row_of(table, setting, config, metrics, place, only_medians, defaults)
        for setting, config in zip(table.settings, configs)
    ]
    header, cells = words.people_table(table)
    own = (
        range(len(table.keys) + 1, len(header))
        if table.chosen_by is None
        else [k for k, name in enumerate(header) if name in VERDICT]
    )
    ranked = [table.settings.index(setting) for setting in table.ranked]
    for place_in, cell in zip(ranked, cells):
        rows[place_in]["extra"] = [cell[k] for k in own]
    sections = [
        ("Without a result", words.failures(table)),
        ("Notes", table.notes),
        *more,
        ("Time", words.times(table)),
    ]
    return report_page(
        {
            "title": f"Sweep {table.name}",
            "lead": sentences,
            "fixed": _fixed(configs, {*table.keys, *table.replicates}),
            "note": " ".join(
                [f"±: standard deviation over {'draws of the data' if table.draws else 'seeds'}."]
                * any(len(setting.finished) > 1 for setting in table.settings)
                + ["Weights of the medians only."] * only_medians
            ),
            "sections": [(heading, lines) for heading, lines in sections if lines],
            "keys": table.keys,
            "short": short_names(table.keys),
            "metrics": metrics,
            "rows": [rows[k] for k in ranked],
            "extra": [header[k] for k in own],
            "pictures": [(f"{name}: {caption}", image) for name, caption, image in pictures],
        }
    )


def _fixed(configs: Sequence[dict[str, Any]], swept: set[str]) -> list[tuple[str, str]]:
    """List the keys that are shown, were not swept, and have one value in all configs."""
    return [
        (key, shown(value))
        for key, value in (configs[0] if configs else {}).items()
        if key not in swept
        and Role.SHOWN in role_of(key)
        and all(config.get(key) == value for config in configs if config)
    ]


def metrics_of(table: Table) -> list[dict[str, Any]]:
    """List the metrics that some setting has: the NLL by which one is chosen, then those on fresh, else test points."""
    have = {key for setting in table.settings for key in setting.summaries}
    part = "fresh" if ("fresh", "nll") in have else "test"
    found = [("validation", *METRICS[0]), *(("test" if metric[0] in MERIT else part, *metric) for metric in METRICS)]
    return [
        {"key": f"{part}/{name}", "label": f"{part} {label}", "percent": percent, "higher": higher}
        for part, name, label, percent, higher in found
        if (part, name) in have
    ]


def row_of(
    table: Table,
    setting: Setting,
    config: dict[str, Any],
    metrics: Sequence[dict],
    place: Path,
    only_medians: bool,
    defaults: Defaults,
) -> dict[str, Any]:
    """Tell of one setting and its runs."""
    finished = sorted(setting.finished, key=lambda job: job.metric(table.chosen_by or "test", "nll") or 0.0)
    middle = finished[(len(finished) - 1) // 2] if finished else None
    runs = []
    for job in setting.jobs:
        wanted = job is middle or not only_medians
        values = {metric["key"]: job.metric(*metric["key"].split("/")) for metric in metrics}
        runs.append(
            {
                "name": job.name,
                "link": link_of(job, place),
                "status": job.status,
                "figures": values,
                "seed": " ".join(f"{key}={shown(job.swept.get(key))}" for key in table.replicates) or job.name,
                "network": network_of(job, config) if wanted else None,
                "history": history_of(job) if wanted else None,
            }
        )
    summaries = {metric["key"]: setting.summaries.get(tuple(metric["key"].split("/"))) for metric in metrics}
    part = "validation" if ("validation", "bayes_nll") in setting.summaries else "fresh"
    return {
        "values": [None if value is None else shown(value) for value in setting.values],
        "label": table.label(setting),
        "count": len(setting.jobs),
        "finished": len(setting.finished),
        "parameters": setting.parameters,
        "best": setting.best,
        "near": setting.near,
        "limit": setting.mean(part, "bayes_nll"),
        "playground": address_of(config, [job.swept["seed"] for job in setting.jobs if "seed" in job.swept]),
        "figures": {
            key: None if found is None else {"mean": found.mean, "sd": found.sd} for key, found in summaries.items()
        },
        "runs": runs,
        "median": setting.jobs.index(middle) if middle else 0,
        "command": command_of(table, setting, config, defaults),
    }


def address_of(config: dict[str, Any], seeds: Sequence[int] = ()) -> str | None:
    """Give the way to the playground that begins with a setting, its seeds side by side; None where it knows no such."""
    options = options_of(unflatten(config)) if "trainer.max_epochs" in config and "data._target_" in config else {}
    if len(set(seeds)) > 1:
        options["x"] = "seed:" + ",".join(map(str, dict.fromkeys(seeds[:16])))
    return f"playground.html{address(options)}" if "data" in options and "model.width" in options else None


def command_of(table: Table, setting: Setting, config: dict[str, Any], defaults: Defaults) -> str:
    """Write the command that trains a setting again with all its seeds."""
    study = table.study or "train"
    changed = {key: value for key, value in defaults.changes(config, study).items() if key not in table.replicates}
    if study != "train":  # what is swept there are mostly groups, such as target=sin
        own = dict(zip(table.keys, setting.values))
        changed = own | {
            key: value for key, value in changed.items() if key.partition(".")[0] not in own and key not in own
        }
    options = [f"{key}={typed(value)}" for key, value in changed.items()]
    seeds = {key: list(dict.fromkeys(typed(job.swept.get(key)) for job in setting.jobs)) for key in table.replicates}
    options += [f"{key}={','.join(values)}" for key, values in seeds.items()]
    many = ["-m"] if any(len(values) > 1 for values in seeds.values()) else []
    return shlex.join(["scripts/lab", study, *many, *options])


def typed(value: Any) -> str:
    """Write a value as Hydra reads it from the command line."""
    return (
        f"'{value}'"
        if isinstance(value, str) and re.search(r"[\s,:{}()]", value) and value[:1] not in "[{"
        else shown(value)
    )


def link_of(job: Job, place: Path) -> str | None:
    """Give the way from the page to a run's own, or to its folder."""
    if not job.folder.is_dir():
        return None
    target = job.folder / "run.html"
    return Path(os.path.relpath(target if target.exists() else job.folder, place)).as_posix()


def network_of(job: Job, config: dict[str, Any]) -> dict[str, Any] | None:
    """Read a run's weights at its snapshots; None where it has none or its data are no plane."""
    arrays = read_snapshots(RunFolder(job.folder))
    if arrays is None or not len(arrays["widths"]) or arrays["box"].shape != (2, 2) or not len(arrays["extent"]):
        return None
    own = config | job.swept
    epoch = int(arrays["epoch"])
    scale, shift = arrays["scale"], arrays["shift"]
    snapshots = [(int(e), w) for e, w in zip(arrays["epochs"], arrays["weights"]) if e != epoch]
    snapshots = [
        (e, of_units(w, int(arrays["widths"][1]), shift, scale)) for e, w in [*snapshots, (epoch, arrays["chosen"])]
    ]
    nodes = unflatten({key: value for key, value in own.items() if key.startswith(("model.", "data."))})
    if not isinstance(nodes.get("model"), dict) or not isinstance(nodes.get("data"), dict):  # a damaged config.yaml
        return None
    return {
        "widths": arrays["widths"].tolist(),
        "activation": nodes["model"].get("activation", "relu"),
        "dropout": nodes["model"].get("dropout", 0),
        "extent": arrays["extent"].tolist(),
        "law": law_of(nodes["data"]),
        "snapshots": snapshots,
    }


def of_units(weights: np.ndarray, units: int, shift: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Change a network's first layer so that it takes features in the data's units, x * scale + shift, in place of x.

    Args:
        weights: (S,), the first layer's matrix (units, F) and bias first.
        units: of the first layer.
        shift, scale: (F,).
    """
    if not shift.any() and (scale == 1).all():
        return weights
    changed, size = weights.astype(float), units * len(scale)
    matrix = changed[:size].reshape(units, -1) / scale
    changed[:size] = matrix.ravel()
    changed[size : size + units] -= matrix @ shift
    return changed.astype(np.float32)


def history_of(job: Job) -> dict[str, list] | None:
    """Read a run's losses at logarithmically spaced epochs."""
    train = read_curve(job.folder / "metrics.csv", ("train/loss",))
    validation = read_curve(job.folder / "metrics.csv", ("val/nll", "val/loss"))
    if train is None and validation is None:
        return None
    columns = {name: found[1] if found else {} for name, found in (("train", train), ("validation", validation))}
    epochs = sorted({*columns["train"], *columns["validation"]})
    return {"epoch": epochs} | {name: [column.get(e) for e in epochs] for name, column in columns.items()}
