"""What given training points allow: the Bayes learner, rivals without a network, and the best networks on a run's points."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from mlplab.cli import rivals
from mlplab.config import composition as configs
from mlplab.data.modules import SpiralDataModule
from mlplab.errors import InputError
from mlplab.nn.mlp import hidden_widths
from mlplab.plots.limits import Line, regret_curves
from mlplab.plots.style import save
from mlplab.rules import boolean, integer, many, optional
from mlplab.runs.files import read_record, write_json, write_text
from mlplab.runs.fingerprint import config_digest
from mlplab.runs.folder import RunFolder, claim, open_run
from mlplab.terminal import short_path
from mlplab.training.objects import build
from mlplab.words import columns

OPTIONS = {"networks": boolean(), "sizes": optional(many(integer(8), least=2)), "widths": optional(many(integer(1), least=2)), "draws": integer(1)}
DEFAULTS = {"networks": True, "sizes": None, "widths": None, "draws": 4}


def limits(words: Sequence[str]) -> dict[str, Any]:
    """Say what training points allow: ``limits [RUN_FOLDER] [data.KEY=VALUE ...] [KEY=VALUE ...]``.

    With the folder of a finished run the points are that run's, and its regret is split into *data*, that of the
    Bayes learner, which nobody who has these points can be expected to go below; *bias*, what the best network known
    has beyond it; *architecture*, what the run's own network has beyond that when it is tuned; and *optimisation*, what
    this training of it has beyond that. The result stands in the run's ``limits.json``, without a run in ``logs/limits``.

    Options:
        networks=false: train none, and leave the split out.
        sizes=[25,100,...]: the same at several numbers of points an arm, drawn as a picture.
        widths=[16,64,...]: the network at several widths beside the infinitely wide ones, drawn as a picture.
        draws=4: of data and weights, for both.

    Returns:
        The result, as it is written.

    Raises:
        InputError: data that are no spirals with a known density and fresh points, or an unknown option.
    """
    named = bool(words) and "=" not in words[0]
    folder = open_run(words[0]) if named else None
    asked, logs, rest = _asked(list(words[1:] if named else words), named)
    config = configs.load_recorded(folder.config) if named else configs.compose("train", rest)
    torch.set_num_threads(config.trainer.threads)
    plain = OmegaConf.to_container(config, resolve=True)
    data = _built(plain)
    depth = len(_hidden(plain)) or 1
    result: dict[str, Any] = {
        "status": "finished", "run": None if folder is None else str(folder.path), "data_sha256": data.sha256,
        "train_points": len(data.train.y), **rivals.without_training(data, depth),
    }  # fmt: skip
    run = None
    if folder is not None:
        recorded = read_record(folder.result)
        if (recorded.get("fresh") or {}).get("nll_regret") is None:
            raise InputError(f"{words[0]} has no regret on fresh points in its result.json: the run has not finished")
        run = recorded["fresh"] | {"validation": (recorded["validation"] or {}).get("nll_regret", math.inf), "setting": "the run"}
        result["run_figures"] = run
    if asked["networks"]:
        found = rivals.networks(plain, run)
        result |= {name: found[name] for name in ("best_network", "best_of_architecture")} | {"run_figures": found["run"]}
        result["split"] = rivals.split(result | {"run": found["run"]})
    if folder is None:
        target = RunFolder(claim(logs / "limits", f"spiral-{config_digest(plain['data'])[:8]}"))
        write_text(target.config, OmegaConf.to_yaml(config))
        path, figures = target.result, target.figures
    else:
        path, figures = folder.path / "limits.json", folder.figures
    print("\n".join(columns(_table(result))))
    print(f"\n(on {data.fresh_points:,} fresh points, ±: standard error over them; training points held fixed)")
    made = []
    for name, study in (("sizes", over_points), ("widths", over_widths)):
        if asked[name]:
            result[name], picture = study(plain, asked[name], asked["draws"], result)
            made.append(save(picture, figures / f"limits_{name}.png"))
    write_json(path, result)
    for place in (path, *made):
        print(short_path(place))
    return result


def _asked(words: list[str], named: bool) -> tuple[dict[str, Any], Path, list[str]]:
    """Sort the words into this command's own options, the folder of logs, and what is the config's."""
    asked, logs, rest = dict(DEFAULTS), configs.logs_folder(), []
    for text, (key, value) in zip(words, configs.parse_overrides(words)):
        if key in OPTIONS:
            asked[key] = OPTIONS[key].check(key, value)
        elif key == "paths.logs":
            logs = Path(str(value)).absolute()
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
    if not isinstance(data, SpiralDataModule) or data.density is None or not data.fresh_points or not data.validation_points:
        raise InputError("limits needs data=spiral with a known density (data.noise at least 0.001), validation and fresh points")
    return data


def _hidden(config: dict[str, Any]) -> list[int]:
    """Give the hidden widths of a config's network, of a network of one's own those of the default one."""
    model = config["model"]
    return hidden_widths(model.get("hidden"), model.get("width", 128), model.get("depth", 1))


def _table(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Put regrets and their parts under each other."""
    rows = [("", "NLL regret", "accuracy regret")]
    for name, label in rivals.LABELS.items():
        figures = result.get("run_figures" if name == "run" else name)
        if figures is not None:
            nll = f"{figures['nll_regret']:.6f} ± {figures.get('nll_regret_se') or 0:.6f}"
            accuracy = f"{100 * figures['accuracy_regret']:.3f} ± {100 * (figures.get('accuracy_regret_se') or 0):.3f} points"
            rows.append((label, nll, accuracy))
    if "split" in result:
        nll, accuracy = result["split"]["nll_regret"], result["split"]["accuracy_regret"]
        rows += [(f"  of it {part}", f"{nll[part]:.6f}", f"{100 * accuracy[part]:.3f} points") for part in nll]
    return rows


def over_points(config: dict[str, Any], sizes: Sequence[int], draws: int, _: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Measure everybody at several numbers of points an arm, on some draws of the data each; draw the means."""
    points, regrets = [], {name: [] for name in rivals.LABELS}
    for size in sizes:
        own: dict[str, list[float]] = {name: [] for name in regrets}
        for draw in range(draws):
            changed, stretch = rivals.resized(config, size, draw)
            data = _built(changed)
            found = rivals.without_training(data, len(_hidden(changed)) or 1) | rivals.networks(changed, lengths=(1,), stretch=stretch)
            for name in regrets:
                own[name].append(found[name]["nll_regret"])
        points.append(len(data.train.y))
        for name, values in own.items():
            regrets[name].append(values)
    lines = [Line(label, points, regrets[name]) for name, label in rivals.LABELS.items()]
    picture = regret_curves(
        lines, x_name="training points", title="What the points allow",
        subtitle=f"regret to Bayes on {config['data']['fresh_points']:,} fresh points, mean of {draws} draws of the data ± standard error",
    )  # fmt: skip
    return {"points_per_arm": list(sizes), "train_points": points, "nll_regret": regrets}, picture


def over_widths(config: dict[str, Any], widths: Sequence[int], draws: int, result: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Train the network at several widths, with some seeds each as one population; draw it beside the infinite ones."""
    depth = len(_hidden(config)) or 1
    regrets = []
    for width in widths:
        model = config["model"] | {"hidden": [width] * depth}
        members = []
        for draw in range(draws):
            seed = config["seed"] + draw
            members.append(config | {"model": model, "seed": seed, "data": config["data"] | {"order_seed": seed}})
        regrets.append([figures["nll_regret"] for figures in rivals.trained(members)])
    lines = [Line(f"{depth} hidden layer{'s' if depth > 1 else ''}, trained", list(widths), regrets)]
    levels = {rivals.LABELS[name]: result[name]["nll_regret"] for name in ("nngp", "ntk", "kernel_density")}
    picture = regret_curves(
        lines, levels=levels, x_name="width", title="Wider, and infinitely wide",
        subtitle=f"regret to Bayes on {config['data']['fresh_points']:,} fresh points, mean of {draws} seeds ± standard error",
    )  # fmt: skip
    return {"widths": list(widths), "nll_regret": regrets}, picture
