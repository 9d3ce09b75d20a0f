"""Decision maps along a training: at log-spaced epochs to TensorBoard and to disk."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch
from torch import Tensor

from mlplab import options
from mlplab.errors import InputError
from mlplab.population.stacking import plain_weights
from mlplab.rules import check_all, number
from mlplab.runs.files import write_bytes
from mlplab.training.members import MemberCallback, SingleMember
from mlplab.training.plane import Components, Plane, decision_grid, plane_of
from mlplab.training.record import runs_of


def log_spaced(last: int) -> list[int]:
    """List epochs 0, 1, 2, 5, 10, 20, 50, ... and the last."""
    epochs, scale = {0, last}, 1
    while scale <= last:
        epochs |= {scale * factor for factor in (1, 2, 5) if scale * factor <= last}
        scale *= 10
    return sorted(epochs)


class DecisionMaps(MemberCallback):
    """Draw a member's class probabilities over the plane as it learns; of more than two inputs, over the two that tell most.

    What a map shows is kept as parameters, and drawn when there is time: at the end, or while the run continues once
    in ``every_seconds``.

    Args:
        epochs: "log" for 0, 1, 2, 5, 10, ... and the last, or a list of epochs.
        resolution: pixels along each side of the grid, >= 2.
        limit: the square drawn is [-limit, limit]; None fits the data, those of a file on each axis.
        pair: the two inputs drawn, by name or by position from 1, the others at their median; None: the two that
            separate the classes best.
        every_seconds: while training, draw what has gathered when the oldest is this old.
    """

    def __init__(
        self,
        epochs: str | list[int] = "log",
        resolution: int = 128,
        limit: float | None = None,
        every_seconds: float = 5.0,
        pair: Sequence[str | int] | None = None,
    ) -> None:
        check_all(
            options.DECISION_MAPS,
            "callbacks.decision_maps",
            epochs=epochs,
            resolution=resolution,
            limit=limit,
            pair=pair,
        )
        number(0).check("callbacks.decision_maps.every_seconds", every_seconds)
        self.epochs, self.resolution, self.limit, self.every_seconds = epochs, resolution, limit, every_seconds
        self.pair = pair
        self.waiting: list[tuple[int, int, Tensor, dict]] = []
        self.probabilities: dict[int, dict[int, np.ndarray]] = {}
        self.accuracies: dict[int, dict[int, float]] = {}
        self.weights: dict[int, dict[int, np.ndarray]] = {}
        self.cards: dict[int, dict[int, np.ndarray]] = {}
        self.steps: dict[int, int] = {}
        self._since = time.monotonic()
        self._planes: dict[int, tuple[Plane | None, Any]] = {}

    def wanted(self, members: Any) -> list[int]:
        """List the epochs to draw."""
        return log_spaced(members.total_epochs) if self.epochs == "log" else list(self.epochs)

    def extent(self, data: Any) -> tuple[float, float, float, float]:
        """Give the rectangle to draw: left, right, bottom, top."""
        return self.plane(data).extent

    def plane(self, data: Any) -> Plane | None:
        """Choose the two inputs to draw, see :func:`mlplab.training.plane.plane_of`; chosen once for each data set."""
        if id(data) not in self._planes:
            self._planes[id(data)] = (
                plane_of(data, self.limit, self.pair),
                data,
            )  # the data are kept, and with them their id
        return self._planes[id(data)][0]

    def on_start(self, trainer: L.Trainer, members: Any) -> None:
        self._since = time.monotonic()
        if not runs_of(trainer):
            raise InputError(
                "DecisionMaps needs points to draw: give the Trainer one of the lab's data modules, or leave it out"
            )
        if members.steps == 0 and 0 in self.wanted(members):
            self._snap(members)
            self._draw_where_due(trainer, members)

    def on_epoch(self, trainer: L.Trainer, members: Any) -> None:
        if members.epochs in self.wanted(members):
            self._snap(members)
        self._draw_where_due(trainer, members)

    def _draw_where_due(self, trainer: L.Trainer, members: Any) -> None:
        """Draw what waits after so many seconds; in Lightning's loop at once: a callback may give the network other parameters."""
        if self.waiting and (isinstance(members, SingleMember) or time.monotonic() - self._since >= self.every_seconds):
            self.draw(trainer, members)

    def on_end(self, trainer: L.Trainer, members: Any) -> None:
        if members.replaced and members.epochs in self.wanted(members):
            self._snap(members)  # the averaged or pruned weights, which have come only now
        self.draw(trainer, members)

    def finish_pending(self, trainer: L.Trainer, members: Any) -> None:
        self.draw(trainer, members)

    def _snap(self, members: Any) -> None:
        population = members.population
        buffers = {i: population.buffers(i) for i in range(population.members)} if population.buffers(0) else {}
        self.waiting.append((members.epochs, members.steps, population.theta.detach().clone(), buffers))

    def draw(self, trainer: L.Trainer, members: Any) -> None:
        """Compute the probabilities of the maps that wait, and hand their cards to TensorBoard."""
        waiting, self.waiting, self._since = self.waiting, [], time.monotonic()
        for epoch, steps, theta, buffers in waiting:
            self.steps[epoch] = steps
            with members.population.at(theta, buffers):
                for index, run in enumerate(runs_of(trainer)):
                    stop = members.stops.get(index)
                    if stop is not None and stop.epoch < epoch:
                        continue
                    self.weights.setdefault(index, {})[epoch] = plain_weights(members.population, theta[index])
                    if run.config.get("figures", "all") != "all":
                        continue  # the one map of the end is drawn then
                    if self.plane(run.data) is None:
                        continue
                    if run.data.shown is None or run.data.classes is None:
                        continue
                    grid = map_of(members, index, self.plane(run.data), self.resolution)
                    if not np.isfinite(grid).all():
                        continue
                    self.probabilities.setdefault(index, {})[epoch] = grid
                    self._card(members, run, index, epoch, grid)

    def _card(self, members: Any, run: Any, index: int, epoch: int, grid: np.ndarray) -> None:
        """Draw the small map of an epoch for TensorBoard, for disk and for the animation."""
        points, plane = run.data.shown, self.plane(run.data)
        logits = members.population.forward(points.x.to(members.theta)[None], slice(index, index + 1))[0]
        predicted = logits.argmax(1).cpu()
        accuracy = float((predicted == points.y).double().mean())
        self.accuracies.setdefault(index, {})[epoch] = accuracy
        logger = run.tensorboard()
        if run.folder is None:
            return
        from mlplab.plots.decision_map import decision_map
        from mlplab.plots.style import encode_png, pixels

        card = pixels(
            decision_map(
                grid,
                plane.extent,
                plane.points(points.x),
                points.y.numpy(),
                predicted=predicted.numpy(),
                title=f"epoch {epoch}",
                subtitle=f"test {100 * accuracy:.1f} %",
                box=plane.box,
                card=True,
            )
        )
        self.cards.setdefault(index, {})[epoch] = card
        data = encode_png(card)
        write_bytes(card_path(run, epoch), data, sync=False)
        if logger is not None:
            logger.log_image("decision_map", data, self.steps[epoch])

    def read_card(self, run: Any, epoch: int) -> np.ndarray:
        """Read a card that an earlier session drew: (H, W, 3) bytes."""
        from PIL import Image

        with Image.open(card_path(run, epoch)) as image:
            return np.asarray(image.convert("RGB"))

    def member_state(self, index: int) -> dict[str, Any]:
        maps = {epoch: torch.from_numpy(grid) for epoch, grid in self.probabilities.get(index, {}).items()}
        weights = {epoch: torch.from_numpy(row) for epoch, row in self.weights.get(index, {}).items()}
        return {
            "maps": maps,
            "weights": weights,
            "accuracies": self.accuracies.get(index, {}),
            "steps": dict(self.steps),
        }

    def load_member_state(self, index: int, state: dict[str, Any], members: Any) -> None:
        self.probabilities[index] = {epoch: grid.numpy() for epoch, grid in state["maps"].items()}
        self.weights[index] = {epoch: row.numpy() for epoch, row in state.get("weights", {}).items()}
        self.accuracies[index] = dict(state["accuracies"])
        self.steps |= state["steps"]


def map_of(members: Any, index: int, plane: Plane | Components | tuple, resolution: int) -> np.ndarray:
    """Give a member's class probabilities over a plane or a rectangle of two inputs: (R, R, C) float32, bottom row first."""
    places = decision_grid(resolution, plane) if isinstance(plane, tuple) else plane.inputs(resolution)
    grid = places.to(members.theta)
    logits = members.population.forward(grid[None], slice(index, index + 1))[0]
    return logits.softmax(1).float().reshape(resolution, resolution, -1).cpu().numpy()


def card_path(run: Any, epoch: int) -> Path:
    """Name the file of an epoch's card."""
    return run.folder.figures / "epochs" / f"epoch_{epoch:05d}.png"
