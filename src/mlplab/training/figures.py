"""The figures and the page of a finished run, and the arrays from which each can be drawn again."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlplab.data.bayes import log_posterior
from mlplab.nn.mlp import MLP
from mlplab.pages.page import run_page
from mlplab.population.stacking import plain_weights
from mlplab.runs.checkpoint import save_snapshots
from mlplab.runs.files import finite, write_bytes, write_text
from mlplab.training.callbacks.decision_maps import DecisionMaps, map_of
from mlplab.training.members import network_title
from mlplab.training.plane import Plane, by_f_ratio, components_of, decision_grid
from mlplab.training.record import MemberRun, Record
from mlplab.words import plural

FIGURES = ("all", "map", "none")
# Test points in a scatter matrix, and as many others; inputs beyond which it is not drawn.
MOST_SHOWN, MOST_PAIRED = 1_500, 32


def data_title(run: MemberRun) -> str:
    """Name a run's data for a title."""
    if run.data.recorded() is not None:
        return Path(run.data.path).name
    return f"{type(run.data).__name__.removesuffix('DataModule').lower()} data"


@dataclass
class Measured:
    """A member whose figures are drawn, at the state that was measured.

    Attributes:
        classifier: the population in training, standing at that state.
        index: of the member in it.
        run: its job.
        result: as in ``result.json``.
        logits: on the test points, (N, C).
        arrays: what the figures can be redrawn from, filled as they are drawn.
    """

    classifier: Any
    index: int
    run: MemberRun
    result: dict[str, Any]
    logits: Tensor
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.data = self.run.data
        self.labels, self.predicted = self.data.shown.y.numpy(), self.logits.argmax(1).numpy()
        self.probabilities = self.logits.double().softmax(1).numpy()
        self.network = network_title(self.classifier.population.member(self.index))
        self.title = f"{self.network} on {data_title(self.run)}"

    @property
    def summary(self) -> str:
        """The metrics on the points that are shown, in a line."""
        from mlplab.plots.decision_map import summary

        part, wrong = self.data.shown_part, int((self.predicted != self.labels).sum())
        metrics = self.result[part]
        return summary(metrics["accuracy"], wrong, len(self.labels), metrics["nll"], split=part)


def draw_figures(trainer: Any, classifier: Any, index: int, result: dict[str, Any], test_logits: Tensor | None) -> None:
    """Draw what ``figures`` asks for into the run folder and TensorBoard; the population stands at the chosen state."""
    run = trainer.runs[index]
    wanted = run.config.get("figures", "all")
    if wanted == "none" or test_logits is None:
        return
    # Imported here: a run without figures does not pay for matplotlib.
    from mlplab.plots.style import png_bytes, vector_bytes

    maps = next((c for c in trainer.callbacks if isinstance(c, DecisionMaps)), None)
    history = next(c for c in trainer.callbacks if isinstance(c, Record)).history(index)
    member = Measured(classifier, index, run, result, test_logits)
    figures = {}
    if maps is not None and maps.plane(run.data) is not None:
        figures |= map_figures(member, maps, history, wanted == "all")
    if wanted == "all":
        figures |= curve_figures(member, history)
        figures |= table_figures(member)
    logger = run.tensorboard()
    for name, figure in figures.items():
        data = png_bytes(figure)
        write_bytes(run.folder.figures / f"{name}.png", data, sync=False)
        for form in set(run.config.get("figure_formats") or ()) - {"png"}:
            write_bytes(run.folder.figures / f"{name}.{form}", vector_bytes(figure, form), sync=False)
        # The map's own tag holds the cards of all epochs.
        if logger is not None:
            logger.log_image(f"final/{name}", data, result["steps"])
    if wanted == "all" and maps is not None:
        animation = animate(run, maps, index)
        if animation:
            write_bytes(run.folder.figures / "learning.gif", animation, sync=False)
            if logger is not None:
                logger.log_image("final/learning", animation, result["steps"])
    if member.arrays:
        buffer = io.BytesIO()
        np.savez(buffer, **member.arrays)
        write_bytes(run.folder.figures / "arrays.npz", buffer.getvalue(), sync=False)


def map_figures(
    member: Measured, maps: DecisionMaps, history: dict[str, list[float]], all_of_them: bool
) -> dict[str, Any]:
    """Draw the decision map and, where all are wanted, its comparison with Bayes and the strip of epochs."""
    from mlplab.plots.decision_map import decision_map

    plane, result, names = maps.plane(member.data), member.result, member.data.class_names
    grid = map_of(member.classifier, member.index, plane, maps.resolution)
    if not np.isfinite(grid).all():  # of a network that is finite at its points, but not everywhere
        return {}
    points = plane.points(member.data.shown.x)
    common = {"predicted": member.predicted, "box": plane.box, "class_names": names, "split": member.data.shown_part}
    shown = {"map": grid, "extent": np.array(plane.extent), "points": points, "labels": member.labels}
    member.arrays |= shown | {"predicted": member.predicted}
    words = {"box": plane.box, "axis_names": plane.names, "class_names": names}
    member.arrays |= {name: np.array(value) for name, value in words.items() if value is not None}
    epoch = member.classifier.best.epoch[member.index] if result["evaluated"] == "best" else result["epochs"]
    made = {
        "decision_map": decision_map(
            grid,
            plane.extent,
            points,
            member.labels,
            title=f"{member.network} after {plural(int(epoch), 'epoch')}",
            subtitle=f"{member.summary}  ·  {plane.remark}" if plane.remark else member.summary,
            axis_names=plane.names,
            **common,
        )
    }
    if all_of_them and member.data.density is not None:
        made["bayes"] = beside_bayes(member, grid, plane.extent, points, common)
    drawn = maps.probabilities.get(member.index, {})
    if all_of_them and drawn and history["epoch"]:
        made["learning_strip"] = strip(member, drawn, maps.accuracies[member.index], plane, history)
    return made


def beside_bayes(member: Measured, grid: np.ndarray, extent: tuple, points: np.ndarray, common: dict[str, Any]) -> Any:
    """Draw a member's map beside that of the Bayes classifier."""
    from mlplab.plots.decision_map import comparison, summary

    places, test = decision_grid(len(grid), extent), member.result[member.data.shown_part]
    bayes = log_posterior(places, member.data.density).exp().reshape(*grid.shape[:2], member.data.classes).numpy()
    member.arrays["bayes_map"] = bayes.astype(np.float32)
    best = member.data.log_posterior(member.data.shown_part).argmax(1).numpy()
    wrong = int((best != member.labels).sum())
    return comparison(
        grid,
        bayes,
        extent,
        points,
        member.labels,
        title=f"{member.network} beside the Bayes classifier",
        subtitles=(member.summary, summary(test["bayes_accuracy"], wrong, len(best), test["bayes_nll"])),
        bayes_predicted=best,
        **common,
    )


def strip(
    member: Measured,
    drawn: dict[int, np.ndarray],
    accuracies: dict[int, float],
    plane: Plane,
    history: dict[str, list[float]],
) -> Any:
    """Draw a member's maps at some epochs, and its loss beneath."""
    from mlplab.plots.curves import learning_strip

    epochs = sorted(drawn)
    maps = np.stack([drawn[epoch] for epoch in epochs])
    member.arrays |= {"maps": maps.astype(np.float16), "map_epochs": np.array(epochs)}
    return learning_strip(
        maps,
        epochs,
        plane.extent,
        history,
        title=member.title,
        accuracies=[accuracies[epoch] for epoch in epochs],
        box=plane.box,
        bayes_nll=(member.result["fresh"] or {}).get("bayes_nll"),
    )


def curve_figures(member: Measured, history: dict[str, list[float]]) -> dict[str, Any]:
    """Draw loss and accuracy over epochs, and the confusion and reliability on the test points."""
    from mlplab.plots.calibration import calibration
    from mlplab.plots.curves import learning_curves

    result, test = member.result, member.result[member.data.shown_part]
    member.arrays |= {"test_probabilities": member.probabilities, "labels": member.labels}
    made = {
        "calibration": calibration(
            member.probabilities,
            member.labels,
            title=f"{member.network}: {member.data.shown_part} points",
            subtitle=f"accuracy {100 * test['accuracy']:.1f} %  ·  "
            f"expected calibration error {100 * test['calibration_error']:.1f} %",
            class_names=member.data.class_names,
        )
    }
    limit = result["fresh"] or test
    if history["epoch"]:
        member.arrays |= {f"history/{name}": np.array(column, dtype=float) for name, column in history.items()}
        made["learning_curves"] = learning_curves(
            history,
            title=member.title,
            bayes_nll=limit["bayes_nll"],
            bayes_accuracy=limit["bayes_accuracy"],
            best_epoch=result["best_epoch"],
        )
    return made


def table_figures(member: Measured) -> dict[str, Any]:
    """Draw what suits data of three inputs or more: pairs of features and principal components; of images, images."""
    from mlplab.plots.decision_map import decision_map

    data, plane = member.data, components_of(member.data)
    if plane is None:
        return {}
    grid, points = map_of(member.classifier, member.index, plane, 128), plane.points(data.shown.x)
    member.arrays |= {"projection/map": grid, "projection/extent": np.array(plane.extent), "projection/points": points}
    member.arrays |= {"projection/box": np.array(plane.box), "projection/axis_names": np.array(plane.names)}
    member.arrays["predicted"] = member.predicted
    if data.class_names is not None:
        member.arrays["class_names"] = np.array(data.class_names)
    made = {
        "projection": decision_map(
            grid,
            plane.extent,
            points,
            member.labels,
            predicted=member.predicted,
            title=member.title,
            subtitle=f"{member.summary}  ·  {plane.remark}",
            box=plane.box,
            class_names=data.class_names,
            axis_names=plane.names,
            split=data.shown_part,
        )
    }
    if len(data.input_shape) == 2:
        made |= image_figures(member)
    elif len(data.input_shape) == 1 and data.input_shape[0] <= MOST_PAIRED:
        made["scatter_matrix"] = pairs_of_features(member)
    return made


def image_figures(member: Measured) -> dict[str, Any]:
    """Draw the images that a network gets wrong, and the weights of its first layer as images."""
    from mlplab.plots.images import error_images, weight_images

    data, title = member.data, member.title
    images, network = data.to_units(data.shown.x).numpy(), member.classifier.population.member(member.index)
    member.arrays["images"] = images.astype(np.float32)
    about = f"{member.summary}  ·  wrong ones, the surest first, then right ones, the least sure first"
    names = {"title": title, "class_names": data.class_names}
    made = {"errors": error_images(images, member.labels, member.probabilities, subtitle=about, **names)}
    if isinstance(network, MLP) and len(network.hidden):
        weights = next(network.parameters()).detach()
        first = weights[weights.norm(dim=1).argsort(descending=True)][:32].reshape(-1, *data.input_shape)
        member.arrays["first_layer"] = first.cpu().numpy()
        about = f"weights of the first layer: the {len(first)} units with the largest, blue positive, red negative"
        made["first_layer"] = weight_images(member.arrays["first_layer"], title=title, subtitle=about)
    return made


def pairs_of_features(member: Measured) -> Any:
    """Draw every pair of the features that tell most."""
    from mlplab.plots.scatter_matrix import MOST, scatter_matrix

    data, said = member.data, member.predicted
    others = (part for part in (data.train, data.validation) if part is not None and part is not data.shown)
    parts = [data.shown, *others]
    x, y = (torch.cat([part[k][:MOST_SHOWN] for part in parts])[: 2 * MOST_SHOWN] for k in (0, 1))
    chosen = sorted(by_f_ratio(data.train.x.double(), data.train.y)[:MOST])
    features = data.feature_names or [f"x{j + 1}" for j in range(x.shape[1])]
    judged = np.full(len(y), -1)
    judged[: min(len(said), MOST_SHOWN)] = said[:MOST_SHOWN]
    values, names = data.to_units(x)[:, chosen].numpy(), [features[j] for j in chosen]
    member.arrays |= {"matrix/values": values, "matrix/labels": y.numpy(), "matrix/predicted": judged}
    member.arrays["matrix/names"] = np.array(names)
    about = member.summary
    if len(chosen) < x.shape[1]:
        about += f"  ·  the {len(chosen)} of {plural(x.shape[1], 'input')} that tell most"
    shown = {"title": member.title, "subtitle": about, "class_names": data.class_names, "split": data.shown_part}
    return scatter_matrix(values, y.numpy(), judged, names=names, **shown)


def animate(run: MemberRun, maps: DecisionMaps, index: int) -> bytes | None:
    """Join the cards of a member's epochs to an animated GIF; None where there are fewer than two."""
    from mlplab.plots.curves import gif_bytes

    # The cards of an earlier session of the run are on disk only.
    drawn = maps.cards.get(index, {})
    cards = [drawn[e] if e in drawn else maps.read_card(run, e) for e in sorted(maps.probabilities.get(index, {}))]
    return gif_bytes(cards) if len(cards) > 1 else None


def write_page(trainer: Any, classifier: Any, index: int, result: dict[str, Any], test_logits: Tensor | None) -> None:
    """Keep the snapshots of a member's network, and write the page of its run; the population stands at the measured state."""
    if test_logits is None:
        return
    run, maps = trainer.runs[index], next((c for c in trainer.callbacks if isinstance(c, DecisionMaps)), DecisionMaps())
    epoch = result["best_epoch"] if result["evaluated"] == "best" else result["epochs"]
    population, weights, plane = classifier.population, maps.weights.get(index, {}), maps.plane(run.data)
    member = population.member(index)
    data, points = run.data, run.data.shown
    is_plain = type(member) is MLP
    shape = points.x.shape[1:]
    count = shape.numel()
    seen = points if data.train is None else data.train
    train = data.to_units(seen.x).reshape(len(seen.x), count).double()
    shift = data.to_units(torch.zeros(1, *shape)).double().reshape(count)
    scale = data.to_units(torch.ones(1, *shape)).double().reshape(count) - shift
    chosen, epochs = plain_weights(population, population.theta[index]), sorted(weights) if is_plain else []
    arrays = {
        "widths": np.array([member.in_features, *member.hidden, member.out_features] if is_plain else [], int),
        "epochs": np.array(epochs, int),
        "epoch": np.array(epoch),
        "chosen": chosen,
        "weights": np.stack([weights[e] for e in epochs]) if epochs else np.zeros((0, len(chosen)), np.float32),
        "x": points.x.reshape(len(points.y), count).numpy(),
        "y": points.y.numpy(),
        "probabilities": test_logits.double().softmax(1).numpy().astype(np.float32),
        "box": torch.stack([train.amin(0), train.amax(0)]).numpy(),
        "shift": shift.numpy(),
        "scale": scale.numpy(),
        "pair": np.array(plane.pair if plane else (), int),
        "extent": np.array(plane.extent if plane else (), float),
        "classes": np.array(list(data.class_names or [f"class {k}" for k in range(test_logits.shape[1])]), str),
        "features": np.array(list(data.feature_names or [f"x{k + 1}" for k in range(count)]), str),
    }
    save_snapshots(run.folder, arrays)
    html = run_page(run.folder, run.config, arrays, finite(result), network_title(member))
    write_text(run.folder.path / "run.html", html, sync=False)
