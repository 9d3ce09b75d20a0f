"""Draw a run's figures again from its saved arrays: another format, size or title, and no training."""

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlplab.errors import InputError
from mlplab.plots.run_figures import FIGURES, WORDS, Saved
from mlplab.plots.style import png_bytes, vector_bytes
from mlplab.rules import near
from mlplab.runs.files import open_file, read_flat, read_record
from mlplab.runs.folder import RunFolder

FORMATS = ("png", "svg", "pdf")
SIZES = ("page", "column")
STYLES = ("titled", "plain")


def words_of(arrays: Mapping[str, np.ndarray], config: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Make the words of a run that saved none, as those of before November 2026, from its config and result."""
    from mlplab.plots.run_figures import summary

    hidden = config.get("model.hidden")
    if isinstance(hidden, str):
        widths = [word for word in hidden.strip("[]").split(",") if word]
    else:
        widths = [str(config.get("model.width", "?"))] * int(config.get("model.depth", 1))
    classes = arrays["map" if "map" in arrays else "test_probabilities"].shape[-1]
    network = "-".join([str(len(result.get("feature_names") or "xy")), *widths, str(classes)])
    split = "test" if result.get("test") or not result.get("validation") else "validation"
    metrics, limit = result.get(split) or {}, result.get("fresh") or result.get(split) or {}
    subtitles = {}
    if {"labels", "predicted"} <= arrays.keys():
        labels, wrong = arrays["labels"], int((arrays["predicted"] != arrays["labels"]).sum())
        said = summary(1 - wrong / max(len(labels), 1), wrong, len(labels), metrics.get("nll"), split=split)
        subtitles = dict.fromkeys(("decision_map", "bayes", "projection", "scatter_matrix", "errors"), said)
    if metrics.get("bayes_accuracy") is not None:
        subtitles["bayes_map"] = f"{split} accuracy {100 * metrics['bayes_accuracy']:.1f} %"
    best = result.get("evaluated") == "best" and result.get("best_epoch") is not None
    limits = {"nll": limit.get("bayes_nll"), "accuracy": limit.get("bayes_accuracy")}
    return {
        "network": network,
        "title": network,
        "split": split,
        "epoch": int(result["best_epoch"] if best else result.get("epochs", 0)),
        "best_epoch": result.get("best_epoch"),
        "subtitles": subtitles,
        "limits": limits | {"fresh_nll": (result.get("fresh") or {}).get("bayes_nll")},
    }


def _are_words(words: Any) -> bool:
    """Say whether words read from a file have the types of those that a run saves."""

    def number(value: Any) -> bool:
        return value is None or isinstance(value, int | float)

    if not isinstance(words, dict):
        return False
    within = [words.get(key) for key in ("subtitles", "limits")]
    return (
        all(isinstance(words.get(key), str) for key in ("network", "title", "split"))
        and isinstance(words.get("epoch"), int)
        and number(words.get("best_epoch"))
        and all(isinstance(one, dict) for one in within)
        and all(isinstance(text, str) for text in within[0].values())
        and all(map(number, within[1].values()))
    )


def read_saved(run: RunFolder) -> Saved:
    """Read what a run left to be drawn.

    Raises:
        InputError: it has no arrays (figures=none leaves none), or they are damaged.
    """
    path = run.figures / "arrays.npz"
    try:
        with open_file(path) as file, np.load(file, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        words = json.loads(str(arrays.pop(WORDS))) if WORDS in arrays else None
        if words is not None and not _are_words(words):
            raise ValueError("its words are none of a run's")
    except FileNotFoundError:
        raise InputError(
            f"{run.path} has no figures/arrays.npz to draw from: train it with figures=map or figures=all"
        ) from None
    except (OSError, EOFError, ValueError, KeyError, RecursionError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is damaged: {' '.join(str(error).split())[:80]}") from error
    if words is None:
        words = words_of(arrays, read_flat(run.config), read_record(run.result) if run.result.is_file() else {})
    return Saved(arrays, words)


# Of data with a density, tables with three features or more, and images alone: not missed elsewhere.
OF_SOME = ("bayes", "projection", "scatter_matrix", "errors", "first_layer")


def redraw(
    run: RunFolder,
    names: list[str] | None,
    formats: list[str],
    *,
    size: str = "page",
    style: str = "titled",
    place: Path | None = None,
) -> tuple[list[Path], list[str]]:
    """Draw figures of a run again and write them.

    Args:
        run: its folder.
        names: of :data:`FIGURES`; None for all that the arrays are enough for.
        formats: of :data:`FORMATS`; in SVG and PDF words are text.
        size: ``page``, as in the run folder (6 to 11 inches wide), or ``column``, 3.3 inches with letters of 8 points
            or more, for those figures that have such a form.
        style: ``titled``, or ``plain`` without titles, for a caption of one's own.
        place: where to; the run's figures/ by default.

    Returns:
        The files, and a line for each figure that was left out.

    Raises:
        InputError: an unknown name, format, size or style, or a run without arrays.
    """
    for key, given, allowed in (
        ("figure", names or [], FIGURES),
        ("format", formats, FORMATS),
        ("size", [size], SIZES),
        ("style", [style], STYLES),
    ):
        for word in given:
            if word not in allowed:
                raise InputError(f"{key} must be one of {', '.join(allowed)}, got {word}{near(word, allowed)}")
    saved = read_saved(run)
    saved.titled = style == "titled"
    column, place = size == "column", place or run.figures
    files, left_out = [], []
    for name in names or FIGURES:
        array, drawn_by, in_column = FIGURES[name]
        if array not in saved.arrays and not names and name in OF_SOME:
            continue
        if array not in saved.arrays:
            left_out.append(f"{name}: the run saved no {array}")
        elif column and not in_column:
            left_out.append(
                f"{name} has no form of one column: its letters would be too small at 3.3 inches (size=page)"
            )
        else:
            made = drawn_by(saved, column)
            for form in formats:
                data = png_bytes(made) if form == "png" else vector_bytes(made, form)
                path = place / f"{name}{'_column' if column else ''}{'_plain' if style == 'plain' else ''}.{form}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                files.append(path)
    return files, left_out
