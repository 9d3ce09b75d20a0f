"""The weights of a run at some epochs, and the test points: what a page needs to compute its maps at any place."""

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from mlplab.runs.files import write_bytes
from mlplab.runs.folder import RunFolder

FILE = "snapshots.npz"
NAMES = {
    "widths",
    "epochs",
    "epoch",
    "chosen",
    "weights",
    "x",
    "y",
    "probabilities",
    "shift",
    "scale",
    "box",
    "pair",
    "extent",
    "classes",
    "features",
}


def save_snapshots(
    folder: RunFolder,
    *,
    widths: Sequence[int],
    weights: Mapping[int, np.ndarray],
    chosen: np.ndarray,
    epoch: int,
    x: np.ndarray,
    y: np.ndarray,
    probabilities: np.ndarray,
    shift: np.ndarray,
    scale: np.ndarray,
    box: np.ndarray,
    pair: Sequence[int],
    extent: Sequence[float],
    classes: Sequence[str],
    features: Sequence[str],
) -> None:
    """Keep what a page needs to compute a run's maps at any place and epoch.

    Args:
        folder: of the run.
        widths: of the layers, inputs and outputs included; empty for a network that is no MLP.
        weights: epoch to the weights (S,) then, each layer's matrix row after row, then its bias.
        chosen: the weights (S,) that were measured.
        epoch: the epoch of those.
        x: test points (N, F), as the network sees them.
        y: their classes (N,).
        probabilities: of the classes at those points (N, C).
        shift: of the features' units: a value in them is x * scale + shift (F,).
        scale: of them (F,).
        box: lowest and highest train values in those units (2, F).
        pair: the two features of the map, or none.
        extent: left, right, bottom, top of the map in those units, or none.
        classes: names of the classes.
        features: names of the features.
    """
    epochs = sorted(weights)
    arrays = {
        "widths": np.array(widths, int),
        "epochs": np.array(epochs, int),
        "epoch": np.array(epoch),
        "chosen": chosen,
        "weights": np.stack([weights[e] for e in epochs]) if epochs else np.zeros((0, len(chosen)), np.float32),
        "x": x,
        "y": y,
        "probabilities": probabilities.astype(np.float32),
        "box": box,
        "shift": shift,
        "scale": scale,
        "pair": np.array(pair, int),
        "extent": np.array(extent, float),
        "classes": np.array(list(classes), str),
        "features": np.array(list(features), str),
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_bytes(folder.checkpoints / FILE, buffer.getvalue(), sync=False)


def read_snapshots(folder: RunFolder) -> dict[str, np.ndarray] | None:
    """Read what :func:`save_snapshots` kept; None where it is missing or damaged."""
    try:
        with np.load(folder.checkpoints / FILE, allow_pickle=False) as arrays:
            found = dict(arrays)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        return None
    return found if NAMES <= found.keys() else None
