"""What the lab uses of Lightning's that is not public: all of it stands here.

Written for Lightning 2.6; tests/test_lightning_names.py says what changed under another version. Lightning counts
epochs and steps in trackers within its loops, and keeps them in a checkpoint under ``loops``.
"""

from typing import Any


def count_steps(trainer: Any, steps: int) -> None:
    """Add to the optimiser steps that Lightning has counted: a block of the engine takes many at once."""
    total = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress.total
    total.ready += steps
    total.completed += steps


def set_place(trainer: Any, epochs: int, steps: int) -> None:
    """Let a trainer that has not begun stand after so many epochs and optimiser steps."""
    progress = trainer.fit_loop.epoch_progress
    for tracker in (progress.current, progress.total):
        tracker.ready = tracker.started = tracker.processed = tracker.completed = epochs
    total = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress.total
    total.ready = total.completed = steps


def loops_state(epochs: int, steps: int, minibatches: int, per_epoch: int) -> dict[str, Any]:
    """Write where a training stands as Lightning's loops keep it, at the end of an epoch or within one.

    Args:
        epochs: complete epochs.
        steps: optimiser steps.
        minibatches: minibatches since the start.
        per_epoch: minibatches of an epoch.
    """
    done = minibatches - epochs * per_epoch  # of the running epoch
    batches = done or min(minibatches, per_epoch)
    started = epochs + bool(done)

    def count(number: int, *, started: bool = True) -> dict[str, int]:
        own = {"ready": number, "completed": number}
        return own | ({"started": number, "processed": number} if started else {})

    batch = {"total": count(minibatches), "current": count(batches), "is_last_batch": not done}
    zero = {
        "total": {"ready": steps, "completed": steps, "started": steps},
        "current": {"ready": batches, "completed": batches, "started": batches},
    }
    step = {"total": count(steps, started=False), "current": count(batches, started=False)}
    whole = {"ready": started, "completed": epochs, "started": started, "processed": epochs}
    return {
        "fit_loop": {
            "state_dict": {},
            "epoch_loop.state_dict": {"_batches_that_stepped": steps},
            "epoch_loop.batch_progress": batch,
            "epoch_loop.scheduler_progress": {
                "total": count(steps, started=False),
                "current": count(batches, started=False),
            },
            "epoch_loop.automatic_optimization.state_dict": {},
            "epoch_loop.automatic_optimization.optim_progress": {"optimizer": {"step": step, "zero_grad": zero}},
            "epoch_loop.manual_optimization.state_dict": {},
            "epoch_loop.manual_optimization.optim_step_progress": {
                "total": count(0, started=False),
                "current": count(0, started=False),
            },
            "epoch_loop.val_loop.state_dict": {},
            "epoch_loop.val_loop.batch_progress": {"total": count(epochs), "current": count(1), "is_last_batch": True},
            "epoch_progress": {"total": dict(whole), "current": dict(whole)},
        }
    }
