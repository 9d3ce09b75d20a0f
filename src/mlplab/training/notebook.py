"""For notebooks: measure a trained classifier and draw its map, in a line each."""

from typing import Any

from matplotlib.figure import Figure

from mlplab.data.arrays import ArrayDataModule
from mlplab.data.bayes import log_posterior
from mlplab.data.grid import decision_grid
from mlplab.errors import InputError
from mlplab.plots.decision_map import decision_map, summary
from mlplab.ranges import require_integer
from mlplab.training.callbacks.decision_maps import map_of
from mlplab.training.classifier import Classifier
from mlplab.training.figures import model_title
from mlplab.training.results import part_figures, part_logits


def evaluate(classifier: Classifier, data: ArrayDataModule, *, member: int = 0) -> dict[str, dict[str, Any]]:
    """Measure a network on every part of its data, beside the Bayes classifier where that is known.

    Args:
        classifier: trained or not.
        data: the data module.
        member: which network, where the classifier holds many.

    Returns:
        Part ("test", "fresh", "validation", "train"; those that are there) to the figures of
        :func:`mlplab.training.evaluation.measure`.
    """
    _require_fit(classifier, data, member)
    figures = part_figures(part_logits(classifier.population, member, data), data)
    return {name: values for name, values in figures.items() if values is not None}


def draw_decision_map(
    classifier: Classifier,
    data: ArrayDataModule,
    *,
    member: int = 0,
    limit: float = 2.0,
    resolution: int = 128,
    bayes: bool = False,
) -> Figure:
    """Draw what a network says of every place in the plane, with the test points.

    Args:
        classifier: trained or not.
        data: a data module of two features.
        member: which network, where the classifier holds many.
        limit: the square [-limit, limit] is drawn.
        resolution: pixels of the grid along each side.
        bayes: add the boundary of the Bayes classifier.

    Returns:
        A ``Figure``, which a notebook shows by itself; ``figure.savefig("map.png")`` keeps it.

    Raises:
        InputError: the data do not have two features.
    """
    _require_fit(classifier, data, member)
    require_integer("resolution", resolution, 1, 4096)
    if data.input_shape != (2,):
        raise InputError(f"a decision map needs data of two features, got inputs of shape {data.input_shape}")
    figures = evaluate(classifier, data, member=member)["test"]
    grid = map_of(classifier, member, (-limit, limit, -limit, limit), resolution)
    best = None
    if bayes and data.density is not None:
        best = log_posterior(decision_grid(resolution, limit), data.density).exp().reshape(grid.shape).numpy()
    x, y = data.test
    logits = classifier.population.forward(x.to(classifier.theta)[None], slice(member, member + 1))[0]
    predicted = logits.argmax(1).cpu()
    wrong = int((predicted != y).sum())
    return decision_map(
        grid, limit, x.numpy(), y.numpy(), predicted=predicted.numpy(), bayes=best,
        title=f"{model_title(classifier, member)} after {classifier.epochs} epochs",
        subtitle=summary(figures["accuracy"], wrong, len(y), figures["nll"]),
        box=tuple(side.numpy() for side in data.training_box),
    )  # fmt: skip


def _require_fit(classifier: Classifier, data: ArrayDataModule, member: int) -> None:
    """Set up network and data, and refuse a member that is not there or data of other inputs or classes."""
    require_integer("member", member, 0, classifier.members - 1)
    classifier.place()
    data.setup()
    x = data.test.x[:1].to(classifier.theta)
    try:
        outputs = classifier.population.forward(x[None], slice(member, member + 1)).shape[-1]
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"the network cannot take inputs of shape {data.input_shape}: {reason}") from error
    if outputs != data.classes:
        raise InputError(f"the network tells {outputs} classes apart; the data have {data.classes}")
