"""Splits of a table's rows: plain, stratified by class, or with groups kept together."""

import numpy as np
import torch

from mlplab.data.datasets import shuffle_split


def split(
    y: np.ndarray,
    test: float,
    validation: float,
    generator: torch.Generator,
    *,
    stratify: bool = True,
    groups: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Share rows among train, validation and test.

    Args:
        y: class of each row, shape (N,), in 0..C-1.
        test: share of the test part, in [0, 1); the size is rounded down.
        validation: share of the validation part; with `test` less than 1.
        generator: gives the permutation.
        stratify: give each part each class in its share, as nearly as whole rows allow; each class keeps a row to
            train on.
        groups: code of each row's group, shape (N,): a group lies in one part. The shares then count groups, and
            nothing is stratified.

    Returns:
        The rows of each part, shuffled; together they are all rows.
    """
    if groups is not None:
        kinds, inverse = np.unique(groups, return_inverse=True)
        shares = split(np.zeros(len(kinds), np.int64), test, validation, generator, stratify=False)
        order = torch.randperm(len(y), generator=generator).numpy()
        return {name: order[np.isin(inverse[order], chosen)] for name, chosen in shares.items()}
    count = len(y)
    first, rest = (part.numpy() for part in shuffle_split(count, test, generator))
    validated = int(validation * count)
    if not stratify:
        return {"train": rest[validated:], "validation": rest[:validated], "test": first}
    order = np.concatenate([first, rest])
    members = np.bincount(y)
    to_test = allot(int(test * count), members, np.maximum(members - 1, 0))
    to_validation = allot(validated, members, np.maximum(members - to_test - 1, 0))
    parts: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
    place = np.empty(count, np.int64)
    place[order] = np.arange(count)
    for k in range(len(members)):
        rows = order[np.sort(place[y == k])]
        cuts = np.cumsum([to_test[k], to_validation[k]])
        for name, piece in zip(("test", "validation", "train"), np.split(rows, cuts)):
            parts[name].append(piece)
    return {name: order[np.sort(place[np.concatenate(pieces)])] for name, pieces in parts.items()}


def allot(total: int, members: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Share `total` rows among classes in proportion to their members, by largest remainders.

    Args:
        total: rows to share, >= 0.
        members: rows of each class, shape (C,).
        most: rows that each class can give, shape (C,).

    Returns:
        Rows of each class, shape (C,); their sum is `total`, or less where the classes cannot give so many.

    >>> allot(5, np.array([30, 15, 5]), np.array([29, 14, 4])).tolist()
    [3, 2, 0]
    """
    wanted = total * members / max(members.sum(), 1)
    given = np.minimum(np.floor(wanted).astype(np.int64), most)
    while given.sum() < total and (given < most).any():
        given[np.where(given < most, wanted - given, -np.inf).argmax()] += 1
    return given
