"""What given training points allow: the Bayes learner, classifiers without a network, and the best networks on a run's points."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from mlplab.cli import rivals
from mlplab.cli.results import read_result
from mlplab.config import composition as configs
from mlplab.data.modules import SpiralDataModule
from mlplab.errors import InputError
from mlplab.hydra_names import readable
from mlplab.nn.mlp import hidden_widths
from mlplab.plots.limits import Line, regret_curves
from mlplab.plots.style import save
from mlplab.rules import boolean, integer, many, optional
from mlplab.runs.files import read_record, write_json, write_text
from mlplab.runs.find import run_folder
from mlplab.runs.folder import RunFolder, claim, open_run, owned
from mlplab.runs.identity import config_digest
from mlplab.runs.sweep_folder import read_sweep
from mlplab.training.objects import build
from mlplab.words import columns, is_option, plural, short_path

OPTIONS = {
    "networks": boolean(),
    "sizes": optional(many(integer(8), least=2)),
    "widths": optional(many(integer(1), least=2)),
    "draws": integer(1, 1000),
}
DEFAULTS = {"networks": True, "sizes": None, "widths": None, "draws": 4}


def limits(words: Sequence[str]) -> dict[str, Any]:
    """Say what training points allow: ``limits [RUN_FOLDER ... | SWEEP_FOLDER] [data.KEY=VALUE ...] [KEY=VALUE ...]``.

    With folders of finished runs the points are theirs, and each run's regret is split into *data*, that of the
    Bayes learner, below which no method can be expected to go; *bias*, what the best network known
    has beyond it; *architecture*, what the best of the run's own architecture has beyond that when it is tuned; and
    *optimisation*, what this training of it has beyond that. Among several runs on the same points the best of them
    counts too. The split stands in each run's ``result.json``, where ``report`` finds it, and all metrics in its
    ``limits.json``; without a run in ``logs/limits``.

    Options:
        networks=false: train none, and leave the split out.
        sizes=[25,100,...]: the same at several numbers of points an arm, drawn as a picture.
        widths=[16,64,...]: the network at several widths beside the infinitely wide ones, drawn as a picture.
        draws=4: of data and weights, for both.

    Returns:
        The result of the last run, as it is written.

    Raises:
        InputError: data that are no spirals with a known density and fresh points, or an unknown option.
    """
    count = next((k for k, word in enumerate(words) if is_option(word)), len(words))
    asked, logs, rest = _asked(list(words[count:]), bool(count))
    folders = _runs(words[:count], logs)
    known = [configs.load_recorded(folder.config) for folder in folders] or [configs.compose("train", rest)]
    plain = [OmegaConf.to_container(config, resolve=True) for config in known]
    if len(plain) > 1 and (asked["sizes"] or asked["widths"]):
        raise InputError(f"sizes and widths need one run, got {len(plain)}")
    torch.set_num_threads(known[0].trainer.threads)
    for folder in folders:
        with owned(folder.path):
            pass  # what cannot be written is refused before the work
    results = _measured(plain, [_metrics_of(folder) for folder in folders], asked["networks"])
    for place, (config, result) in enumerate(zip(plain, results)):
        if folders:
            folder, path = folders[place], folders[place].path / "limits.json"
            result["run"] = str(folder.path)
        else:
            folder = RunFolder(claim(logs / "limits", f"spiral-{config_digest(config['data'])[:8]}"))
            write_text(folder.config, OmegaConf.to_yaml(known[place]))
            path = folder.result
        print("\n".join(columns(_table(result))))
        points = config["data"]["fresh_points"]
        print(
            f"\n(accuracy in percentage points; on {plural(points, 'fresh point')}, ±: standard error over them; training points held fixed)"
        )
        made = []
        for name, study in (("sizes", over_points), ("widths", over_widths)):
            if asked[name]:
                result[name], picture = study(config, asked[name], asked["draws"], result)
                made.append(save(picture, folder.figures / f"limits_{name}.png"))
        with owned(folder.path):
            write_json(path, result)
            if folders and "split" in result:
                write_json(folder.result, read_record(folder.result) | {"split": result["split"]})
        for file in (path, *made):
            print(short_path(file))
    return results[-1]


def _runs(words: Sequence[str], logs: Path) -> list[RunFolder]:
    """Open the folders of runs that were named; of a sweep, its finished runs.

    Raises:
        InputError: one is neither, or a sweep has no finished run.
    """
    found = []
    for word in words:
        if (Path(word) / "config.yaml").is_file() or not Path(word).is_dir():
            found.append(open_run(run_folder(word, logs, "train")))
            continue
        jobs = [job for job in read_sweep(word).jobs if job.is_finished]
        if not jobs:
            raise InputError(f"{word} has no finished run")
        found += [open_run(job.folder) for job in jobs]
    return found


def _metrics_of(folder: RunFolder) -> rivals.Metrics:
    """Read a run's metrics on fresh points, and its KL on validation points.

    Raises:
        InputError: it has none.
    """
    recorded = read_result(folder)
    if (recorded.get("fresh") or {}).get("nll_regret") is None:
        raise InputError(f"limits needs a run with fresh points (data.fresh_points above 0), got {folder.path} without")
    validation = (recorded.get("validation") or {}).get("nll_regret", math.inf)
    return recorded["fresh"] | {"validation": validation, "setting": "the run"}


def _measured(
    configs_of: Sequence[dict[str, Any]], runs: Sequence[rivals.Metrics], networks: bool
) -> list[dict[str, Any]]:
    """Measure what the points of each config allow; what several have in common is measured once.

    Args:
        configs_of: resolved, of spirals.
        runs: metrics of their runs; empty where they have none.
        networks: whether to train the best networks known, and the architectures with training of their own.
    """
    shared: dict[str, Any] = {}

    def once(key: str, make: Callable[..., Any], *arguments: Any) -> Any:
        if key not in shared:
            shared[key] = make(*arguments)
        return shared[key]

    found, data_of = [], [json.dumps(rivals.points_of(config), sort_keys=True) for config in configs_of]
    for config, own in zip(configs_of, data_of):
        data, depth = once(own, _built, config), len(_hidden(config)) or 1
        about = {"status": "finished", "run": None, "data_sha256": data.sha256, "train_points": len(data.train.y)}
        found.append(about | once(f"{depth} {own}", rivals.without_training, data, depth))
    if networks:
        runs = list(runs) or [one | {"setting": "the run's own"} for one in rivals.trained(configs_of)]
        kinds = [json.dumps(rivals.architecture(config), sort_keys=True) for config in configs_of]
        for place, config in enumerate(configs_of):
            own = once(kinds[place], rivals.own_tuned, config)
            best = once(f"best {data_of[place]}", rivals.best_known, config)
            same = [run for run, kind in zip(runs, kinds) if kind == kinds[place]]
            here = [run for run, data in zip(runs, data_of) if data == data_of[place]]
            found[place] |= rivals.best_of(runs[place], [*same, *own], [*here, *best])
            found[place]["split"] = rivals.split(found[place])
    elif runs:
        found = [one | {"run_metrics": run} for one, run in zip(found, runs)]
    return found


def _asked(words: list[str], named: bool) -> tuple[dict[str, Any], Path, list[str]]:
    """Sort the words into this command's own options, the folder of logs, and what is the config's."""
    asked, logs, rest = dict(DEFAULTS), configs.logs_folder(), []
    for text, (key, value) in zip(map(readable, words), configs.parse_overrides(words)):
        if key in OPTIONS:
            asked[key] = OPTIONS[key].check(key, value)
        elif key == "paths.logs":
            logs = configs.place(key, str(value))
            rest.append(text)
        elif not named and key.partition(".")[0] in ("data", "model"):
            rest.append(text)
        else:
            own = ", ".join(OPTIONS) + " and paths.logs"
            raise InputError(f"limits takes {own if named else f'data.KEY, model.KEY, {own}'}, got {key}")
    return asked, logs, rest


def _built(config: dict[str, Any]) -> SpiralDataModule:
    """Build and draw spirals that have all that is needed.

    Raises:
        InputError: other data, or none to measure on.
    """
    data = build(config["data"], "data")
    data.setup()
    if (
        not isinstance(data, SpiralDataModule)
        or data.density is None
        or not data.fresh_points
        or not data.validation_points
    ):
        raise InputError(
            "limits needs data=spiral with a known density (data.noise at least 0.001), validation and fresh points"
        )
    return data


def _hidden(config: dict[str, Any]) -> list[int]:
    """Give the hidden widths of a config's network, of a network of one's own those of the default one."""
    model = config["model"]
    return hidden_widths(model.get("hidden"), model.get("width", 128), model.get("depth", 1))


def _table(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Put regrets and their parts under each other."""
    rows = [("", "NLL regret", "accuracy regret")]
    for name, label in rivals.LABELS.items():
        metrics = result.get("run_metrics" if name == "run" else name)
        if metrics is not None:
            nll = f"{metrics['nll_regret']:.6f} ± {metrics.get('nll_regret_se') or 0:.6f}"
            accuracy = f"{100 * metrics['accuracy_regret']:.3f} ± {100 * (metrics.get('accuracy_regret_se') or 0):.3f}"
            rows.append((label, nll, accuracy))
    if "split" in result:
        nll, accuracy = result["split"]["nll_regret"], result["split"]["accuracy_regret"]
        rows += [(f"  of it {part}", f"{nll[part]:.6f}", f"{100 * accuracy[part]:.3f}") for part in nll]
    return rows


def over_points(
    config: dict[str, Any], sizes: Sequence[int], draws: int, _: dict[str, Any]
) -> tuple[dict[str, Any], Any]:
    """Measure everybody at several numbers of points an arm, on some draws of the data each; draw the split of the means."""
    points, regrets = [], {name: [] for name in rivals.LABELS}
    for size in sizes:
        own: dict[str, list[float]] = {name: [] for name in regrets}
        for draw in range(draws):
            changed, stretch = rivals.resized(config, size, draw)
            data = _built(changed)
            run = rivals.trained([changed])[0] | {"setting": "the run's own"}
            tried = [run, *rivals.own_tuned(changed, lengths=(1,))]
            found = rivals.without_training(data, len(_hidden(changed)) or 1) | rivals.best_of(
                run, tried, rivals.best_known(changed, stretch)
            )
            for name in regrets:
                own[name].append(found["run_metrics" if name == "run" else name]["nll_regret"])
        points.append(len(data.train.y))
        for name, values in own.items():
            regrets[name].append(values)
    lines = {name: Line(label, points, regrets[name]) for name, label in rivals.LABELS.items()}
    picture = regret_curves(
        [lines.pop(name) for name in rivals.LEVELS],
        others=list(lines.values()),
        parts=list(rivals.PARTS),
        x_name="training points",
        title="What the points allow, and what is lost beyond",
        subtitle=f"regret to Bayes on {plural(config['data']['fresh_points'], 'fresh point')}, mean of {plural(draws, 'draw')} of the data ± standard error",
    )
    return {"points_per_arm": list(sizes), "train_points": points, "nll_regret": regrets}, picture


def over_widths(
    config: dict[str, Any], widths: Sequence[int], draws: int, result: dict[str, Any]
) -> tuple[dict[str, Any], Any]:
    """Train the network at several widths, with some seeds each as one population; draw it beside the infinite ones."""
    depth = len(_hidden(config)) or 1
    regrets = []
    for width in widths:
        model = config["model"] | {"hidden": [width] * depth}
        members = []
        for draw in range(draws):
            seed = config["seed"] + draw
            members.append(config | {"model": model, "seed": seed, "data": config["data"] | {"order_seed": seed}})
        regrets.append([metrics["nll_regret"] for metrics in rivals.trained(members)])
    lines = [Line(f"{plural(depth, 'hidden layer')}, trained", list(widths), regrets)]
    levels = {rivals.LABELS[name]: result[name]["nll_regret"] for name in ("nngp", "ntk", "kernel_density")}
    picture = regret_curves(
        lines,
        levels=levels,
        x_name="width",
        title="Wider, and infinitely wide",
        subtitle=f"regret to Bayes on {plural(config['data']['fresh_points'], 'fresh point')}, mean of {plural(draws, 'seed')} ± standard error",
    )
    return {"widths": list(widths), "nll_regret": regrets}, picture
