"""Lines on a grid of log-probabilities: where the class changes, and where it is sure."""

import math
from functools import lru_cache

import numpy as np
from contourpy import LineType, contour_generator

from mlplab.plots.field import FLOOR, axis_positions

SURE = 0.9


def contour(field: np.ndarray, level: float, extent) -> np.ndarray:
    """Trace a level of a padded grid; returns points of shape (M, 2), pieces parted by a row of NaN."""
    x1, x2 = grid(field.shape, tuple(extent))
    made = contour_generator(x1, x2, field, name="serial", line_type=LineType.ChunkCombinedNan)
    lines = made.lines(level)[0][0]
    return np.empty((0, 2)) if lines is None else lines


@lru_cache(maxsize=4)
def grid(shape: tuple[int, int], extent: tuple[float, float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Give x1 and x2 of every point of a padded grid, both of its shape (R + 2, S + 2), read-only.

    Left to contourpy, making them took a third of the tracing; the lines of a map, and the maps of a sweep,
    share them.
    """
    x1 = axis_positions(shape[1] - 2, extent[0], extent[1])
    x2 = axis_positions(shape[0] - 2, extent[2], extent[3])
    places = tuple(np.meshgrid(x1, x2))
    for place in places:
        place.flags.writeable = False
    return places


def joined(pieces) -> np.ndarray:
    """Join traced lines into one array of shape (M, 2), parted by rows of NaN."""
    gap = np.full((1, 2), np.nan)
    return np.concatenate([gap, *(part for piece in pieces for part in (piece, gap))])


def boundary(logs: np.ndarray, extent) -> np.ndarray:
    """Trace where the two likeliest classes are equal: margin 0; shape (M, 2) with NaN rows."""
    pieces, classes = [], logs.argmax(axis=0)
    for k in range(len(logs) - 1):
        others = logs.copy()
        others[k] = -np.inf
        margin = np.clip(logs[k] - others.max(axis=0), math.log(FLOOR), -math.log(FLOOR))
        if margin.min() < 0 < margin.max():
            pieces.append(without_lower(contour(margin, 0.0, extent), k, classes, extent))
    return joined(pieces)


def without_lower(line: np.ndarray, k: int, classes: np.ndarray, extent) -> np.ndarray:
    """Take out what was traced before: a line drawn twice looks heavier than its neighbours.

    Args:
        line: the outline of class k's region, shape (M, 2) with NaN rows; the classes below k were traced.
        k: the class.
        classes: the likeliest class at each padded grid point.
        extent: of the picture.
    """
    below, above = [], []
    for axis, count in ((1, classes.shape[0]), (0, classes.shape[1])):
        low, high = extent[2 * axis], extent[2 * axis + 1]
        at = np.nan_to_num((line[:, axis] - low) / (high - low)) * (count - 2) + 0.5
        below.append(np.clip(np.floor(at + 1e-6).astype(int), 0, count - 1))
        above.append(np.clip(np.ceil(at - 1e-6).astype(int), 0, count - 1))
    # A vertex lies between two grid points, one of class k and one of its rival. What comes second at the
    # point of class k says less: where the network is sure, all other classes may be equally impossible.
    first, second = classes[tuple(below)], classes[tuple(above)]
    drop = (np.where(first == k, second, first) < k) | np.isnan(line[:, 0])
    # Keep a vertex more at each end, so that no gap opens where three regions meet.
    around = np.concatenate([[True], drop, [True]])
    drop = drop & around[:-2] & around[2:]
    return np.where(drop[:, None], np.nan, line)


def sure_contour(logs: np.ndarray, extent, probability: float = SURE) -> np.ndarray:
    """Trace where the likeliest class has the given probability; shape (M, 2) with NaN rows."""
    pieces = []
    total = np.logaddexp.reduce(logs, axis=0)
    for k in range(logs.shape[0]):
        level = logs[k] - total
        if level.min() < math.log(probability) < level.max():
            # The log-odds are straighter than the probability between two grid points.
            odds = level - np.log(np.maximum(-np.expm1(np.minimum(level, -1e-12)), FLOOR))
            pieces.append(contour(odds, math.log(probability / (1 - probability)), extent))
    return joined(pieces)
