"""The figures of a run, from the arrays and words that it saves: drawn when it ends, and again when asked for."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mlplab.words import plural

# The array that holds the words, as JSON.
WORDS = "words"


def summary(accuracy: float, wrong: int, count: int, nll: float | None = None, *, split: str = "test") -> str:
    """Write the line under a title: accuracy (0 to 1), points wrong of ``count``, mean NLL."""
    words = f"{split} accuracy {100 * accuracy:.1f} %  ·  {wrong:,} of {count:,} wrong"
    return words if nll is None else f"{words}  ·  NLL {nll:.3f}"


@dataclass
class Saved:
    """What a run saves of its figures.

    Attributes:
        arrays: by name; each figure of `FIGURES` names the one that it cannot do without.
        words: ``network``, ``title``, ``split`` (what the points are), ``epoch`` (of the state that was measured),
            ``best_epoch``, ``subtitles`` by figure, and ``limits``: the Bayes classifier's metrics, None without one.
        titled: whether titles are drawn.
    """

    arrays: Mapping[str, np.ndarray]
    words: Mapping[str, Any]
    titled: bool = True

    def packed(self) -> dict[str, np.ndarray]:
        """Give the arrays, with the words as one of them."""
        return {**self.arrays, WORDS: np.array(json.dumps(self.words))}

    def names(self, name: str) -> list[str] | None:
        """Give the names in an array."""
        return [str(one) for one in self.arrays[name]] if name in self.arrays else None

    @property
    def history(self) -> dict[str, np.ndarray]:
        """The metrics over epochs, columns by name."""
        parts = (name.partition("history/") for name in self.arrays)
        return {name: self.arrays[f"history/{name}"] for before, found, name in parts if found and not before}

    def title(self, text: str | None) -> str:
        """Give a title or subtitle, or nothing where none are drawn."""
        return (text or "") if self.titled else ""

    def subtitle(self, figure: str) -> str:
        """Give the line under a figure's title."""
        return self.title(self.words.get("subtitles", {}).get(figure))

    def limit(self, metric: str) -> float | None:
        """Give a metric of the Bayes classifier."""
        return self.words.get("limits", {}).get(metric)

    @property
    def split(self) -> str:
        """What the points are, such as ``test``."""
        return self.words.get("split", "test")

    @property
    def judged(self) -> dict[str, Any]:
        """What all pictures of the points share."""
        shared = {"predicted": self.arrays["predicted"], "class_names": self.names("class_names"), "split": self.split}
        return shared | {"box": self.arrays.get("box")}


def _decision_map(saved: Saved, column: bool) -> Figure:
    from mlplab.plots.decision_map import decision_map

    arrays = saved.arrays
    accuracy = f"{100 * (arrays['predicted'] == arrays['labels']).mean():.1f} %"
    return decision_map(
        *(arrays[name] for name in ("map", "extent", "points", "labels")),
        title=saved.title(f"{saved.words['network']} after {plural(saved.words.get('epoch', 0), 'epoch')}"),
        subtitle=saved.title(accuracy) if column else saved.subtitle("decision_map"),
        card=column,
        axis_names=saved.names("axis_names"),
        **saved.judged,
    )


def _bayes(saved: Saved, column: bool) -> Figure:
    from mlplab.plots.decision_map import comparison

    return comparison(
        *(saved.arrays[name] for name in ("map", "bayes_map", "extent", "points", "labels")),
        title=saved.title(f"{saved.words['network']} beside the Bayes classifier"),
        subtitles=(saved.subtitle("bayes"), saved.subtitle("bayes_map")),
        bayes_predicted=saved.arrays.get("bayes_predicted"),
        **saved.judged,
    )


def _learning_strip(saved: Saved, column: bool) -> Figure:
    from mlplab.plots.curves import learning_strip

    arrays = saved.arrays
    maps = arrays["maps"].astype(np.float32)
    return learning_strip(
        maps / maps.sum(-1, keepdims=True),
        list(arrays["map_epochs"]),
        arrays["extent"],
        saved.history,
        title=saved.title(saved.words["title"]),
        accuracies=arrays.get("map_accuracies"),
        box=arrays.get("box"),
        bayes_nll=saved.limit("fresh_nll"),
    )


def _learning_curves(saved: Saved, column: bool) -> Figure:
    from mlplab.plots.curves import learning_curves
    from mlplab.plots.side_by_side import column_curves

    if column:
        return column_curves(saved.history, title=saved.title(saved.words["network"]), bayes=saved.limit("nll"))
    return learning_curves(
        saved.history,
        title=saved.title(saved.words["title"]),
        bayes_nll=saved.limit("nll"),
        bayes_accuracy=saved.limit("accuracy"),
        best_epoch=saved.words.get("best_epoch"),
    )


def _calibration(saved: Saved, column: bool) -> Figure:
    from mlplab.plots.calibration import calibration

    return calibration(
        saved.arrays["test_probabilities"],
        saved.arrays["labels"],
        title=saved.title(f"{saved.words['network']}: {saved.split} points"),
        subtitle=saved.subtitle("calibration"),
        class_names=saved.names("class_names"),
    )


def _projection(saved: Saved, column: bool) -> Figure:
    from mlplab.plots.decision_map import decision_map

    arrays = saved.arrays
    return decision_map(
        *(arrays[f"projection/{name}"] for name in ("map", "extent", "points")),
        arrays["labels"],
        title=saved.title(saved.words["title"]),
        subtitle=saved.subtitle("projection"),
        axis_names=saved.names("projection/axis_names"),
        **saved.judged | {"box": arrays["projection/box"]},
    )


def _scatter_matrix(saved: Saved, column: bool) -> Figure:
    from mlplab.plots.scatter_matrix import scatter_matrix

    return scatter_matrix(
        *(saved.arrays[f"matrix/{name}"] for name in ("values", "labels", "predicted")),
        names=saved.names("matrix/names"),
        title=saved.title(saved.words["title"]),
        subtitle=saved.subtitle("scatter_matrix"),
        class_names=saved.names("class_names"),
        split=saved.split,
    )


def _errors(saved: Saved, column: bool) -> Figure:
    from mlplab.plots.images import error_images

    return error_images(
        *(saved.arrays[name] for name in ("images", "labels", "test_probabilities")),
        title=saved.title(saved.words["title"]),
        subtitle=saved.subtitle("errors"),
        class_names=saved.names("class_names"),
    )


def _first_layer(saved: Saved, column: bool) -> Figure:
    from mlplab.plots.images import weight_images

    return weight_images(
        saved.arrays["first_layer"], title=saved.title(saved.words["title"]), subtitle=saved.subtitle("first_layer")
    )


# Figure -> the array that it cannot do without, what draws it, and whether it has a form for one column of a paper.
FIGURES: dict[str, tuple[str, Callable[[Saved, bool], Figure], bool]] = {
    "decision_map": ("map", _decision_map, True),
    "bayes": ("bayes_map", _bayes, False),
    "learning_strip": ("maps", _learning_strip, False),
    "learning_curves": ("history/epoch", _learning_curves, True),
    "calibration": ("test_probabilities", _calibration, False),
    "projection": ("projection/map", _projection, False),
    "scatter_matrix": ("matrix/values", _scatter_matrix, False),
    "errors": ("images", _errors, False),
    "first_layer": ("first_layer", _first_layer, False),
}
