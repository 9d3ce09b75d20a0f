"""Draw a run's figures again from its saved arrays: another format, size or title, and no training."""

import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mlplab.errors import InputError
from mlplab.plots.style import png_bytes, vector_bytes
from mlplab.rules import near
from mlplab.runs.files import open_file, read_flat, read_record
from mlplab.runs.folder import RunFolder
from mlplab.words import plural

FORMATS = ("png", "svg", "pdf")
SIZES = ("page", "column")
STYLES = ("titled", "plain")


@dataclass
class Saved:
    """What a run left to be drawn: its arrays, and its config and result for the words."""

    arrays: Mapping[str, np.ndarray]
    config: Mapping[str, Any]
    result: Mapping[str, Any]
    titled: bool = True

    def named(self, name: str) -> list[str] | None:
        return [str(one) for one in self.arrays[name]] if name in self.arrays else None

    @property
    def history(self) -> dict[str, np.ndarray]:
        parts = (name.partition("history/") for name in self.arrays)
        return {name: self.arrays[f"history/{name}"] for before, found, name in parts if found and not before}

    def figure_of(self, part: str, name: str) -> float | None:
        value = (self.result.get(part) or {}).get(name)
        return float(value) if isinstance(value, int | float) else None

    @property
    def box(self) -> np.ndarray | None:
        return self.arrays.get("box")

    @property
    def network(self) -> str:
        """Name the network as the lab does: its widths from input to output."""
        hidden = self.config.get("model.hidden")
        if isinstance(hidden, str):
            widths = [word for word in hidden.strip("[]").split(",") if word]
        else:
            widths = [str(self.config.get("model.width", "?"))] * int(self.config.get("model.depth", 1))
        classes = self.arrays["map"].shape[-1] if "map" in self.arrays else self.arrays["test_probabilities"].shape[-1]
        return "-".join([str(len(self.result.get("feature_names") or "xy")), *widths, str(classes)])

    @property
    def subtitle(self) -> str:
        """The metrics on the test points, for under a title."""
        from mlplab.plots.decision_map import summary

        labels, wrong = self.arrays["labels"], int((self.arrays["predicted"] != self.arrays["labels"]).sum())
        return self.title(summary(1 - wrong / max(len(labels), 1), wrong, len(labels), self.figure_of("test", "nll")))

    def title(self, text: str) -> str:
        return text if self.titled else ""

    @property
    def epoch(self) -> int:
        best = self.result.get("evaluated") == "best" and self.result.get("best_epoch") is not None
        return int(self.result["best_epoch"] if best else self.result.get("epochs", 0))


def read_saved(run: RunFolder) -> Saved:
    """Read what a run left to be drawn.

    Raises:
        InputError: it has no arrays (figures=none leaves none), or they are damaged.
    """
    path = run.figures / "arrays.npz"
    try:
        with open_file(path) as file, np.load(file, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
    except FileNotFoundError:
        raise InputError(
            f"{run.path} has no figures/arrays.npz to draw from: train it with figures=map or figures=all"
        ) from None
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is damaged: {' '.join(str(error).split())[:80]}") from error
    return Saved(arrays, read_flat(run.config), read_record(run.result) if run.result.is_file() else {})


def map_again(saved: Saved, column: bool) -> Figure:
    from mlplab.plots.decision_map import decision_map

    arrays = saved.arrays
    subtitle = f"{100 * (arrays['predicted'] == arrays['labels']).mean():.1f} %" if column else saved.subtitle
    return decision_map(
        arrays["map"],
        arrays["extent"],
        arrays["points"],
        arrays["labels"],
        predicted=arrays["predicted"],
        box=saved.box,
        class_names=saved.named("class_names"),
        title=saved.title(f"{saved.network} after {plural(saved.epoch, 'epoch')}"),
        subtitle=saved.title(subtitle),
        card=column,
        axis_names=saved.named("axis_names"),
    )


def bayes_again(saved: Saved, column: bool) -> Figure:
    from mlplab.plots.decision_map import comparison

    arrays = saved.arrays
    said = [saved.figure_of("test", name) for name in ("accuracy", "bayes_accuracy")]
    subtitles = tuple("" if one is None else saved.title(f"accuracy {100 * one:.1f} %") for one in said)
    return comparison(
        arrays["map"],
        arrays["bayes_map"],
        arrays["extent"],
        arrays["points"],
        arrays["labels"],
        predicted=arrays["predicted"],
        box=saved.box,
        class_names=saved.named("class_names"),
        subtitles=subtitles,
        title=saved.title(f"{saved.network} beside the Bayes classifier"),
    )


def strip_again(saved: Saved, column: bool) -> Figure:
    from mlplab.plots.curves import learning_strip

    arrays = saved.arrays
    maps = arrays["maps"].astype(np.float32)
    return learning_strip(
        maps / maps.sum(-1, keepdims=True),
        list(arrays["map_epochs"]),
        arrays["extent"],
        saved.history,
        title=saved.title(f"{saved.network} as it learns"),
        box=saved.box,
        bayes_nll=saved.figure_of("fresh", "bayes_nll"),
    )


def curves_again(saved: Saved, column: bool) -> Figure:
    from mlplab.plots.curves import learning_curves
    from mlplab.plots.side_by_side import column_curves

    part = "fresh" if saved.result.get("fresh") else "test"
    limit = saved.figure_of(part, "bayes_nll")
    if column:
        return column_curves(saved.history, title=saved.title(saved.network), bayes=limit)
    return learning_curves(
        saved.history,
        title=saved.title(f"{saved.network} as it learns"),
        bayes_nll=limit,
        bayes_accuracy=saved.figure_of(part, "bayes_accuracy"),
        best_epoch=saved.result.get("best_epoch"),
    )


def calibration_again(saved: Saved, column: bool) -> Figure:
    from mlplab.plots.calibration import calibration

    arrays = saved.arrays
    return calibration(
        arrays["test_probabilities"],
        arrays["labels"],
        title=saved.title(f"{saved.network}: test points"),
        class_names=saved.named("class_names"),
    )


def projection_again(saved: Saved, column: bool) -> Figure:
    from mlplab.plots.decision_map import decision_map

    arrays = saved.arrays
    return decision_map(
        arrays["projection/map"],
        arrays["projection/extent"],
        arrays["projection/points"],
        arrays["labels"],
        predicted=arrays["predicted"],
        box=arrays["projection/box"],
        class_names=saved.named("class_names"),
        axis_names=saved.named("projection/axis_names"),
        title=saved.title(saved.network),
        subtitle=saved.subtitle,
    )


def matrix_again(saved: Saved, column: bool) -> Figure:
    from mlplab.plots.scatter_matrix import scatter_matrix

    values, labels, predicted = (saved.arrays[f"matrix/{name}"] for name in ("values", "labels", "predicted"))
    return scatter_matrix(
        values,
        labels,
        predicted,
        names=saved.named("matrix/names"),
        title=saved.title(saved.network),
        subtitle=saved.subtitle,
        class_names=saved.named("class_names"),
    )


def errors_again(saved: Saved, column: bool) -> Figure:
    from mlplab.plots.images import error_images

    arrays = saved.arrays
    return error_images(
        arrays["images"],
        arrays["labels"],
        arrays["test_probabilities"],
        title=saved.title(saved.network),
        subtitle=saved.subtitle,
        class_names=saved.named("class_names"),
    )


def weights_again(saved: Saved, column: bool) -> Figure:
    from mlplab.plots.images import weight_images

    return weight_images(saved.arrays["first_layer"], title=saved.title(f"first layer of {saved.network}"))


# Figure -> the array that it cannot do without, what draws it, and whether it has a form for one column of a paper.
FIGURES: dict[str, tuple[str, Callable[[Saved, bool], Figure], bool]] = {
    "decision_map": ("map", map_again, True),
    "bayes": ("bayes_map", bayes_again, False),
    "learning_strip": ("maps", strip_again, False),
    "learning_curves": ("history/epoch", curves_again, True),
    "calibration": ("test_probabilities", calibration_again, False),
    "projection": ("projection/map", projection_again, False),
    "scatter_matrix": ("matrix/values", matrix_again, False),
    "errors": ("images", errors_again, False),
    "first_layer": ("first_layer", weights_again, False),
}
# Of tables with three features or more and of images alone: not missed elsewhere.
OF_SOME = ("projection", "scatter_matrix", "errors", "first_layer")


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
