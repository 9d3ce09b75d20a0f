"""The record of a run: one row of figures an epoch to its loggers, and the history that figures are drawn from."""

from typing import Any

import lightning.pytorch as L

from mlplab.training.callbacks.member import MemberCallback
from mlplab.training.classifier import Classifier


class Record(MemberCallback):
    """Hand each member's figures to its own loggers once an epoch, and keep them."""

    def __init__(self) -> None:
        self.history: dict[int, dict[str, list[float]]] = {}

    def on_epoch(self, trainer: L.Trainer, classifier: Classifier) -> None:
        columns = {name: value.tolist() for name, value in classifier.metrics.items()}
        for index, run in enumerate(trainer.runs):
            stop = classifier.stops.get(index)
            if stop is not None and stop.epoch < classifier.epochs:
                continue
            row = {name: column[index] for name, column in columns.items()}
            own = self.history.setdefault(index, {"epoch": []})
            own["epoch"].append(classifier.epochs)
            for name, value in row.items():
                # A figure that is not taken each epoch has gaps, so that all columns stay of one length.
                column = own.setdefault(name, [])
                column += [float("nan")] * (len(own["epoch"]) - 1 - len(column)) + [value]
            for logger in run.loggers:
                logger.log_metrics({"epoch": classifier.epochs, **row}, step=classifier.steps)
            if run.heartbeat is not None:
                run.heartbeat.beat()

    def member_state(self, index: int) -> dict[str, Any]:
        return {"history": self.history.get(index, {"epoch": []})}

    def load_member_state(self, index: int, state: dict[str, Any], classifier: Classifier) -> None:
        self.history[index] = {name: list(column) for name, column in state["history"].items()}
