"""The figures of a finished run, and the arrays from which each can be drawn again."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlplab.data.bayes import log_posterior
from mlplab.nn.mlp import MLP
from mlplab.runs.files import write_bytes
from mlplab.training.callbacks.decision_maps import DecisionMaps, map_of
from mlplab.training.members import network_title
from mlplab.training.plane import by_f_ratio, components_of, decision_grid
from mlplab.training.record import MemberRun, Record

FIGURES = ("all", "map", "none")
MOST_SHOWN, MOST_PAIRED = (
    1_500,
    32,
)  # test points in a scatter matrix, and others; number of inputs beyond which it is not drawn


def model_title(classifier: Any, index: int) -> str:
    """Name a member's network for a title."""
    return network_title(classifier.population.member(index))


def data_title(run: MemberRun) -> str:
    """Name a run's data for a title."""
    if run.data.recorded() is not None:
        return Path(run.data.path).name
    return f"{type(run.data).__name__.removesuffix('DataModule').lower()} data"


def draw_figures(trainer: Any, classifier: Any, index: int, result: dict[str, Any], test_logits: Tensor) -> None:
    """Draw what ``figures`` asks for into the run folder and TensorBoard; the population stands at the chosen state."""
    run = trainer.runs[index]
    wanted = run.config.get("figures", "all")
    if wanted == "none" or test_logits is None:
        return
    # Imported here: a run without figures does not pay for matplotlib.
    from mlplab.plots.style import png_bytes, vector_bytes

    maps = next((c for c in trainer.callbacks if isinstance(c, DecisionMaps)), None)
    record = next(c for c in trainer.callbacks if isinstance(c, Record))
    arrays: dict[str, np.ndarray] = {}
    figures = {}
    if maps is not None and maps.plane(run.data) is not None:
        figures |= map_figures(classifier, index, run, maps, record, result, test_logits, wanted, arrays)
    if wanted == "all":
        figures |= curve_figures(classifier, index, run, record, result, test_logits, arrays)
        figures |= table_figures(classifier, index, run, result, test_logits, arrays)
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
    if arrays:
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_bytes(run.folder.figures / "arrays.npz", buffer.getvalue(), sync=False)


def map_figures(
    classifier: Any,
    index: int,
    run: MemberRun,
    maps: DecisionMaps,
    record: Record,
    result: dict[str, Any],
    test_logits: Tensor,
    wanted: str,
    arrays: dict[str, np.ndarray],
) -> dict[str, Any]:
    """Draw the decision map and, where all is wanted, its comparison with Bayes and the strip of epochs."""
    from mlplab.plots.decision_map import decision_map, summary
    from mlplab.plots.learning_strip import learning_strip
    from mlplab.plots.side_by_side import comparison

    plane = maps.plane(run.data)
    extent = plane.extent
    grid = map_of(classifier, index, plane, maps.resolution)
    points, labels = plane.points(run.data.test.x), run.data.test.y.numpy()
    predicted = test_logits.argmax(1).numpy()
    box = plane.box
    epoch = classifier.best.epoch[index] if result["evaluated"] == "best" else result["epochs"]
    title = f"{model_title(classifier, index)} after {int(epoch)} epochs"
    figures_of = result["test"]
    wrong = int((predicted != labels).sum())
    subtitle = summary(figures_of["accuracy"], wrong, len(labels), figures_of["nll"])
    common = {"predicted": predicted, "box": box, "class_names": run.data.class_names}
    arrays |= {"map": grid, "extent": np.array(extent), "points": points, "labels": labels, "predicted": predicted}
    words = {"box": box, "axis_names": plane.names, "class_names": common["class_names"]}
    arrays |= {name: np.array(value) for name, value in words.items() if value is not None}
    drawn_on = f"{subtitle}  ·  {plane.remark}" if plane.remark else subtitle
    made = {
        "decision_map": decision_map(
            grid, extent, points, labels, title=title, subtitle=drawn_on, axis_names=plane.names, **common
        )
    }
    if wanted != "all":
        return made
    if run.data.density is not None:
        shape = (maps.resolution, maps.resolution, run.data.classes)
        places = decision_grid(maps.resolution, extent)
        bayes = log_posterior(places, run.data.density).exp().reshape(shape).numpy()
        arrays["bayes_map"] = bayes.astype(np.float32)
        best = run.data.log_posterior("test")
        made["bayes"] = comparison(
            grid,
            bayes,
            extent,
            points,
            labels,
            title=f"{model_title(classifier, index)} beside the Bayes classifier",
            subtitles=(
                subtitle,
                summary(
                    figures_of["bayes_accuracy"],
                    int((best.argmax(1) != run.data.test.y).sum()),
                    len(labels),
                    figures_of["bayes_nll"],
                ),
            ),
            bayes_predicted=best.argmax(1).numpy(),
            **common,
        )
    drawn, history = maps.probabilities.get(index, {}), record.history(index)
    if drawn and history["epoch"]:
        epochs = sorted(drawn)
        arrays |= {"maps": np.stack([drawn[e] for e in epochs]).astype(np.float16), "map_epochs": np.array(epochs)}
        made["learning_strip"] = learning_strip(
            np.stack([drawn[e] for e in epochs]),
            epochs,
            extent,
            history["epoch"],
            history["train/loss"],
            history.get("val/loss"),
            title=f"{model_title(classifier, index)} on {data_title(run)}",
            accuracies=[maps.accuracies[index][e] for e in epochs],
            box=box,
            bayes_nll=(result["fresh"] or {}).get("bayes_nll"),
            other="validation",
        )
    return made


def curve_figures(
    classifier: Any,
    index: int,
    run: MemberRun,
    record: Record,
    result: dict[str, Any],
    test_logits: Tensor,
    arrays: dict[str, np.ndarray],
) -> dict[str, Any]:
    """Draw loss and accuracy over epochs, and the confusion and reliability on the test points."""
    from mlplab.plots.calibration import calibration
    from mlplab.plots.curves import learning_curves

    probabilities = torch.softmax(test_logits.double(), 1).numpy()
    arrays |= {"test_probabilities": probabilities, "labels": run.data.test.y.numpy()}
    made = {
        "calibration": calibration(
            probabilities,
            run.data.test.y.numpy(),
            title=f"{model_title(classifier, index)}: test points",
            subtitle=f"accuracy {100 * result['test']['accuracy']:.1f} %  ·  "
            f"expected calibration error {100 * result['test']['calibration_error']:.1f} %",
            class_names=run.data.class_names,
        )
    }
    history, limit = record.history(index), result["fresh"] or result["test"]
    if history["epoch"]:
        arrays |= {f"history/{name}": np.array(column, dtype=float) for name, column in history.items()}
        made["learning_curves"] = learning_curves(
            history["epoch"],
            history["train/loss"],
            history.get("val/loss"),
            history["train/accuracy"],
            history.get("val/accuracy"),
            title=f"{model_title(classifier, index)} on {data_title(run)}",
            bayes_nll=limit["bayes_nll"],
            bayes_accuracy=limit["bayes_accuracy"],
            best_epoch=result["best_epoch"],
        )
    return made


def table_figures(
    classifier: Any,
    index: int,
    run: MemberRun,
    result: dict[str, Any],
    test_logits: Tensor,
    arrays: dict[str, np.ndarray],
) -> dict[str, Any]:
    """Draw what suits data of three inputs or more: pairs of features and principal components; of images, images."""
    data, title = run.data, f"{model_title(classifier, index)} on {data_title(run)}"
    plane = components_of(data)
    if plane is None:
        return {}
    from mlplab.plots.decision_map import decision_map, summary
    from mlplab.plots.images import error_images, weight_images
    from mlplab.plots.scatter_matrix import MOST, scatter_matrix

    figures = result["test"]
    said, labels = test_logits.argmax(1).numpy(), data.test.y.numpy()
    names = data.class_names
    subtitle = summary(figures["accuracy"], int((said != labels).sum()), len(labels), figures["nll"])
    grid, points = map_of(classifier, index, plane, 128), plane.points(data.test.x)
    arrays |= {"projection/map": grid, "projection/extent": np.array(plane.extent), "projection/points": points}
    arrays |= {"projection/box": np.array(plane.box), "projection/axis_names": np.array(plane.names), "predicted": said}
    arrays |= {"class_names": np.array(names)} if names is not None else {}
    made = {
        "projection": decision_map(
            grid,
            plane.extent,
            points,
            labels,
            predicted=said,
            title=title,
            subtitle=f"{subtitle}  ·  {plane.remark}",
            box=plane.box,
            class_names=names,
            axis_names=plane.names,
        )
    }
    if len(data.input_shape) == 2:
        images, network = data.to_units(data.test.x).numpy(), classifier.population.member(index)
        probabilities = test_logits.double().softmax(1).numpy()
        arrays["images"] = images.astype(np.float32)
        about = f"{subtitle}  ·  wrong ones, the surest first, then right ones, the least sure first"
        made["errors"] = error_images(images, labels, probabilities, title=title, subtitle=about, class_names=names)
        if isinstance(network, MLP) and len(network.hidden):
            weights = next(network.parameters()).detach()
            first = weights[weights.norm(dim=1).argsort(descending=True)][:32].reshape(-1, *data.input_shape)
            arrays["first_layer"] = first.cpu().numpy()
            about = f"weights of the first layer: the {len(first)} units with the largest, blue positive, red negative"
            made["first_layer"] = weight_images(arrays["first_layer"], title=title, subtitle=about)
    elif len(data.input_shape) == 1 and data.input_shape[0] <= MOST_PAIRED:
        parts = [data.test, *(part for part in (data.train, data.validation) if part is not None)]
        x, y = (torch.cat([part[k][:MOST_SHOWN] for part in parts])[: 2 * MOST_SHOWN] for k in (0, 1))
        chosen = sorted(by_f_ratio(data.train.x.double(), data.train.y)[:MOST])
        features = data.feature_names or [f"x{j + 1}" for j in range(x.shape[1])]
        judged = np.full(len(y), -1)
        judged[: min(len(said), MOST_SHOWN)] = said[:MOST_SHOWN]
        arrays |= {
            "matrix/values": data.to_units(x)[:, chosen].numpy(),
            "matrix/labels": y.numpy(),
            "matrix/predicted": judged,
        }
        arrays["matrix/names"] = np.array([features[j] for j in chosen])
        about = (
            f"{subtitle}  ·  the {len(chosen)} of {x.shape[1]} inputs that tell most"
            if len(chosen) < x.shape[1]
            else subtitle
        )
        made["scatter_matrix"] = scatter_matrix(
            arrays["matrix/values"],
            y.numpy(),
            judged,
            names=arrays["matrix/names"].tolist(),
            title=title,
            subtitle=about,
            class_names=names,
        )
    return made


def animate(run: MemberRun, maps: DecisionMaps, index: int) -> bytes | None:
    """Join the cards of a member's epochs to an animated GIF; None where there are fewer than two."""
    from mlplab.plots.learning_strip import gif_bytes

    # The cards of an earlier session of the run are on disk only.
    drawn = maps.cards.get(index, {})
    cards = [drawn[e] if e in drawn else maps.read_card(run, e) for e in sorted(maps.probabilities.get(index, {}))]
    return gif_bytes(cards) if len(cards) > 1 else None
