"""Figures of approximation by ReLUs, each drawn from arrays that are saved beside it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mlplab.errors import InputError
from mlplab.seeds import derive
from mlplab.studies.relu.deep_training import train_deep
from mlplab.studies.relu.depth import deep
from mlplab.studies.relu.error_plots import depth_gain, width_sweep
from mlplab.studies.relu.minimax import minimax
from mlplab.studies.relu.panels import METHODS, decomposition
from mlplab.studies.relu.sampling import errors, sample
from mlplab.studies.relu.sawtooth import DeepRelu, sawtooth_sum
from mlplab.studies.relu.sums import ReluSum
from mlplab.studies.relu.targets import Target
from mlplab.words import plural

# Which columns the decomposition shows, first come first served; four fit.
_SHOWN = ("uniform", "equidistributed", "minimax", "trained", "least_squares", "greedy")
_NOTES = {
    "uniform": "the tutorial's knots, offset included",
    "equidistributed": "the same bend in every piece",
    "minimax": "the error touches its bound all along",
    "least_squares": "the smallest RMS",
    "greedy": "each unit where it helps most",
}

DEEP = {
    "x2": "deep: the tent map composed with itself (Yarotsky 2017)",
    "takagi": "deep: the tent map composed with itself",
    "sawtooth": "deep: three tents, exact",
}


def draw(
    record, config: Mapping[str, Any], target: Target, rows: list, fits: Mapping, floors: Mapping
) -> dict[str, Any]:
    """Draw the asked figures that the rows allow; return what was measured on the way."""
    wanted, measured = config["figures"], {}
    widths = sorted({entry["n"] for entry in rows})
    names = {entry["method"] for entry in rows}
    if "decomposition" in wanted and names - {"depth"}:
        _save(record, "decomposition", decomposition_arrays(target, rows, fits, floors, widths[0]))
    if "width" in wanted and len(widths) > 1:
        _save(record, "width", width_arrays(target, rows, floors, widths))
    if "depth" in wanted and "depth" in names:
        arrays = depth_arrays(target, widths, config)
        _save(record, "depth", arrays)
        if "trained" in arrays:
            chosen = arrays["trained_n"] == arrays["trained_n"].max()
            measured["trained_deep"] = {
                "units": int(arrays["trained_n"].max()),
                "max_errors": sorted(arrays["trained"][chosen].tolist()),
            }
    return measured


def _save(record, name: str, arrays: Mapping[str, Any]) -> None:
    record.figure(name, FIGURES[name](arrays), arrays)


def redraw(path: str | Path) -> Figure:
    """Draw a figure again from the arrays saved beside it.

    Args:
        path: ``decomposition.npz``, ``width.npz`` or ``depth.npz`` of a run folder's ``figures``.

    Raises:
        InputError: another name.
    """
    path = Path(path)
    if path.stem not in FIGURES:
        raise InputError(f"the arrays must be one of {', '.join(f'{name}.npz' for name in FIGURES)}, got {path.name}")
    with np.load(path, allow_pickle=False) as arrays:
        return FIGURES[path.stem](dict(arrays))


def _words(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(str(arrays["words"]))


def decomposition_arrays(target: Target, rows: list, fits: Mapping, floors: Mapping, n: int) -> dict[str, Any]:
    """Collect what :func:`mlplab.studies.relu.panels.decomposition` draws, for one width."""
    x = np.linspace(target.low, target.high, 2001)
    chosen = [entry for name in _SHOWN for entry in rows if entry["method"] == name and entry["n"] == n]
    chosen = [e for e in chosen if e["start"] != "minimax"][:4]
    if target.points:
        # The places where errors count, and where the fit turns, are drawn exactly.
        x = np.union1d(x, target.points.x)
    arrays: dict[str, Any] = {"x": x, "target": target(x)}
    if target.points:
        arrays |= {"points_x": target.points.rows_x, "points_y": target.points.rows_y}
    columns = []
    for place, entry in enumerate(chosen):
        fit: ReluSum = fits[entry["method"], entry["start"], n].fit
        arrays |= {f"knots_{place}": fit.knots, f"weights_{place}": fit.weights, f"fit_{place}": fit(x)}
        note = _NOTES.get(entry["method"], "")
        if entry["method"] == "trained":
            how = "in hats, knots moving" if entry["start"] == "hats" else "Adam, then L-BFGS"
            note = f"{how}; the best of {plural(len(entry['all_max_errors']), 'network')}"
        columns.append(
            {
                "name": METHODS[entry["method"]][1],
                "note": note,
                "offset": fit.offset,
                "linear": fit.linear,
                "max_error": entry["max_error"],
                "rms_error": entry["rms_error"],
                "pieces": n,
                "clipped": entry["method"] == "trained" and entry["start"] != "hats",
            }
        )
    bound = next((e["lower_bound"] for e in rows if e["method"] == "minimax" and e["n"] == n), None)
    units = plural(n, "ReLU")
    arrays["words"] = np.array(
        json.dumps(
            {
                "columns": columns,
                "floor": floors.get(n),
                "bound": bound,
                "title": f"{target.label} from {units}",
                "subtitle": "shifted ReLUs, weighted, and added up one by one from left to right",
            }
        )
    )
    return arrays


def _decomposition(arrays: Mapping[str, Any]) -> Figure:
    words = _words(arrays)
    columns = [
        column | {key: arrays[f"{key}_{place}"] for key in ("knots", "weights", "fit")}
        for place, column in enumerate(words["columns"])
    ]
    return decomposition(
        arrays["x"],
        arrays["target"],
        columns,
        title=words["title"],
        subtitle=words["subtitle"],
        floor=words["floor"],
        bound=words["bound"],
        points=(arrays["points_x"], arrays["points_y"]) if "points_x" in arrays else None,
    )


def width_arrays(target: Target, rows: list, floors: Mapping, widths: list[int]) -> dict[str, Any]:
    """Collect what :func:`mlplab.studies.relu.error_plots.width_sweep` draws."""
    arrays: dict[str, Any] = {"n": np.array(widths)}
    methods = [name for name in METHODS if name != "trained" and any(e["method"] == name for e in rows)]
    for name in methods:
        found = {e["n"]: e for e in rows if e["method"] == name}
        for kind in ("max", "rms"):
            arrays[f"{kind}_{name}"] = np.array([found[n][f"{kind}_error"] if n in found else np.nan for n in widths])
    dots = []
    for start, heading in (
        ("default", "trained from random"),
        ("hats", "trained in hats"),
        ("minimax", "trained from minimax"),
    ):
        chosen = [e for e in rows if e["method"] == "trained" and e["start"] == start]
        if chosen:
            arrays[f"dots_n_{len(dots)}"] = np.concatenate([[e["n"]] * len(e["all_max_errors"]) for e in chosen])
            arrays[f"dots_max_{len(dots)}"] = np.concatenate([e["all_max_errors"] for e in chosen])
            arrays[f"dots_rms_{len(dots)}"] = np.concatenate([e["all_rms_errors"] for e in chosen])
            dots.append(heading)
    if all(n in floors for n in widths):
        arrays["floor"] = np.array([floors[n] for n in widths])
    bend = 0.0 if target.points else sample(target, 16 * widths[-1]).total_bend
    arrays["words"] = np.array(
        json.dumps(
            {
                "methods": methods,
                "dots": dots,
                "constants": {"minimax": bend**2 / 16, "equidistributed": bend**2 / 8},
                "title": f"{target.label}: error against width",
                "subtitle": f"one hidden layer on [{target.low:.4g}, {target.high:.4g}]"
                + (", and deep networks of as many ReLUs" if "depth" in methods else ""),
            }
        )
    )
    return arrays


def _width(arrays: Mapping[str, Any]) -> Figure:
    words = _words(arrays)
    series = {name: {kind: arrays[f"{kind}_{name}"] for kind in ("max", "rms")} for name in words["methods"]}
    dots = [
        (heading, *(arrays[f"dots_{kind}_{place}"] for kind in ("n", "max", "rms")))
        for place, heading in enumerate(words["dots"])
    ]
    return width_sweep(
        arrays["n"],
        series,
        title=words["title"],
        subtitle=words["subtitle"],
        floor=arrays.get("floor"),
        constants=words["constants"],
        dots=dots,
    )


def depth_arrays(target: Target, widths: list[int], config: Mapping[str, Any]) -> dict[str, Any]:
    """Measure deep against wide up to the largest width, and train networks of the deep ones' sizes."""
    last = widths[-1]
    grid = sample(target, max(8 * last, 512)).x
    tried = sorted({*widths, *np.unique(np.linspace(2, last, 24).astype(int)).tolist()})
    built: dict[int, DeepRelu] = {}
    for n in tried:
        try:
            network = deep(target, n)
        except InputError:
            continue
        built[network.n] = network
    error = {n: errors(target, network, grid)[0] for n, network in built.items()}
    # A construction that is right to rounding has no slope to show.
    error = {n: e for n, e in error.items() if e > 1e-13} or error
    wide_n = np.unique(np.geomspace(1, last, 24).astype(int))
    wide = [minimax(target, int(n)) for n in wide_n]
    arrays: dict[str, Any] = {
        "wide_n": wide_n,
        "wide": np.array([m.level for m in wide]),
        "floor": np.array([minimax(target, int(n) + 1).lower_bound for n in wide_n]),
        "deep_n": np.array(list(error)),
        "deep": np.array(list(error.values())),
    }
    arrays |= _trained_deep(target, {n: built[n] for n in error if n <= 32 and built[n].depth > 1}, grid, config)
    law = []
    if target.name == "x2":
        arrays["law_wide"] = 1 / (8.0 * wide_n**2)
        arrays["law_deep"] = 2.0 ** -(2 * (arrays["deep_n"] + 1) / 3 + 3)
        law = [["wide_n", "law_wide", "wide"], ["deep_n", "law_deep", "deep"]]
    arrays["x"] = x = np.linspace(target.low, target.high, 1001)
    stages = _stages(target, built[max(built)], x)
    for place, (_, values) in enumerate(stages):
        arrays[f"stage_{place}"] = values
    plain = "deep: fold the symmetry, then fit" if stages else "deep: Horner's rule with Yarotsky's products"
    arrays["words"] = np.array(
        json.dumps(
            {
                "title": f"{target.label}: depth against width",
                "subtitle": DEEP.get(target.name, plain),
                "laws": law,
                "stages": [name for name, _ in stages],
            }
        )
    )
    return arrays


def _trained_deep(
    target: Target, built: Mapping[int, DeepRelu], grid: np.ndarray, config: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Train networks of the sizes of some constructions: a handful shows it, and takes longer than all the rest."""
    sizes, networks = list(built), config["depth"]["networks"]
    if not sizes or not networks:
        return {}
    seeds = [derive(config["seed"], "deep", k) for k in range(networks)]
    found = []
    for n in [sizes[i] for i in np.unique(np.linspace(0, len(sizes) - 1, 4).astype(int))]:
        widths = [len(bias) for _, bias in built[n].layers[:-1]]
        trained = train_deep(target, widths, seeds=seeds, steps=config["depth"]["steps"])
        found += [(n, errors(target, network, grid)[0]) for network in trained]
    return {"trained_n": np.array([n for n, _ in found]), "trained": np.array([error for _, error in found])}


def _stages(target: Target, network: DeepRelu, x: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Name what the layers of a deep network make, with its values at x; empty where there is nothing to see."""
    if target.name == "x2":
        words = "layer {} subtracts {} {} of height 1/{}"
        return [
            (
                words.format(m, 2 ** (m - 1), "tooth" if m == 1 else "teeth", 4**m),
                sawtooth_sum(0.0, [0.0] * (m - 1) + [4.0**-m])(x),
            )
            for m in (1, 2, 3, 4)
        ]
    if len(network.layers) != 3:
        return []
    (weight, bias), (second, _) = network.layers[:2]
    folded = second[0] @ np.maximum(weight @ x[None] + bias[:, None], 0)
    return [("the first layer folds x …", folded), ("… and the second fits what is left", network(x))]


def _depth(arrays: Mapping[str, Any]) -> Figure:
    words = _words(arrays)
    return depth_gain(
        arrays["wide_n"],
        arrays["wide"],
        arrays["deep_n"],
        arrays["deep"],
        title=words["title"],
        subtitle=words["subtitle"],
        laws=[("", arrays[n], arrays[e], key) for n, e, key in words["laws"]],
        floor=arrays["floor"],
        trained_n=arrays.get("trained_n"),
        trained=arrays.get("trained"),
        x=arrays["x"],
        stages=[(name, arrays[f"stage_{place}"]) for place, name in enumerate(words["stages"])],
    )


FIGURES = {"decomposition": _decomposition, "width": _width, "depth": _depth}
