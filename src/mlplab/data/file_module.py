"""The data module of a table of one's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlplab import options
from mlplab.data.arrays import ArrayDataModule, LabelledData, Points
from mlplab.data.columns import Table
from mlplab.data.features import Preparation, complete_rows, fit_preparation, inputs_of, refuse_missing, select
from mlplab.data.labels import classes_of, codes_among, find_label, words_of
from mlplab.data.splits import split
from mlplab.data.table import checked_path, read_table
from mlplab.errors import InputError
from mlplab.rules import check_all, number
from mlplab.runs.identity import CONTENTS, file_sha256
from mlplab.seeds import generator
from mlplab.words import expanded, listed, plural


class FileDataModule(ArrayDataModule):
    """Serve a table, see :func:`mlplab.data.table.read_table`; there are no fresh points.

    Args:
        path: the file; a relative path starts at the current folder.
        label: the label column's name, or its position from 1; None: called label, labels, class, target, species or
            y, else the last.
        features: names or positions of the columns to learn from; None: all but label, group and `exclude`.
        exclude: names or positions of columns to leave out.
        categorical: columns of numbers that are kinds; columns of words are such without being named.
        missing: what becomes of a missing value: ``refuse``, ``drop`` its row, or the ``median`` of the train rows.
        standardize: subtract from each input the train rows' mean and divide by their standard deviation.
        separator: ``comma``, ``semicolon``, ``tab`` or ``blanks``; None: found out.
        header: whether the first row holds names; None: found out.
        validation_path: a file of validation rows; None: a share of `path`.
        test_path: a file of test rows; None: a share of `path`.
        validation_fraction: share of all rows set aside for validation, rounded down; 0 for none.
        stratify: give train, validation and test each class in its share.
        group: column whose equal values stay in one part.
        file_sha256, validation_sha256, test_sha256: of the bytes of `path`, `validation_path` and `test_path`; another
            file under the same name is refused. None: any.
        copy: whether a run keeps the files in its folder, its config naming them from there.
        base: `seed`, `batch_size` (cut to the train rows), `drop_last`, `test_fraction` and `order_seed` of
            `ArrayDataModule`.

    After `setup`, besides what `ArrayDataModule` has: `class_names`, `feature_names`, `preparation`
    (:class:`~mlplab.data.features.Preparation`), `file_sha256`, and `notes`, what a reader should know, one line each.
    """

    def __init__(
        self,
        path: str | Path,
        label: str | int | None = None,
        features: Sequence[str | int] | str | int | None = None,
        exclude: Sequence[str | int] | str | int = (),
        categorical: Sequence[str | int] | str | int = (),
        missing: str = "refuse",
        standardize: bool = True,
        separator: str | None = None,
        header: bool | None = None,
        validation_path: str | Path | None = None,
        test_path: str | Path | None = None,
        validation_fraction: float = 0.2,
        stratify: bool = True,
        group: str | int | None = None,
        file_sha256: str | None = None,
        validation_sha256: str | None = None,
        test_sha256: str | None = None,
        copy: bool = False,
        **base,
    ):
        self.save_hyperparameters(logger=False)
        self.hparams.update({name: str(value) for name, value in self.hparams.items() if isinstance(value, Path)})
        super().__init__(**base, validation_points=0, fresh_points=0)
        self.path, self.label, self.group, self.copy = path, label, group, copy
        self.file_sha256, self.validation_sha256, self.test_sha256 = file_sha256, validation_sha256, test_sha256
        # Paths are looked at when they are read; how many points are left for validation depends on the test points.
        later = ("path", "validation_path", "test_path", "validation_fraction", *options.DATA)
        check_all(options.FILE, "data", **{name: self.hparams[name] for name in options.FILE if name not in later})
        self.features = None if features is None else _many(features)
        self.exclude, self.categorical = _many(exclude), _many(categorical)
        self.missing, self.standardize = missing, standardize
        self.separator, self.header = separator, header
        self.validation_path, self.test_path = validation_path, test_path
        self.stratify = stratify
        rest = number(0, 1 - self.test_fraction, below=True)  # the train points' share must not be nothing
        self.validation_fraction = rest.check("data.validation_fraction", validation_fraction)
        self.notes: list[str] = []

    def prepare(self) -> dict[str, Points | None]:
        for key, content in CONTENTS.items():
            path, name = getattr(self, key.removeprefix("data.")), content.removeprefix("data.")
            if path is not None:
                setattr(self, name, same_file(path, getattr(self, name), key))
        table = read_table(self.path, separator=self.separator, header=self.header)
        at = find_label(table, self.label)
        self.label_name = table.names[at]
        taken = [at] if self.group is None else [at, table.find(self.group, "data.group")]
        chosen = select(table, self.features, taken, self.exclude)
        self._say_how_read(table)
        left_out = {table.find(name, "data.exclude") for name in self.exclude} | set(taken) | set(chosen)
        indices = [name for j, name in enumerate(table.names) if j not in left_out]
        if indices and self.features is None:
            self.notes.append(f"left out, as it numbers the rows: {listed(indices)} (data.features=[...] takes it)")
        if self.missing == "drop":
            kept = complete_rows(table, [*chosen, *taken])
            if not kept.all():
                self.notes.append(f"{int((~kept).sum()):,} of {plural(len(table), 'row')} dropped, for a missing value")
                table = table.take(np.flatnonzero(kept))
            if not len(table):
                raise InputError(
                    f"data.missing=drop leaves no row of '{self.path}'; take median, or data.exclude a column"
                )
        y, self.class_names = classes_of(table, table.columns[at])
        parts = self._split(table, y, taken)
        numbers = [j for j in chosen if table.columns[j].levels is None] if self.missing == "median" else []
        refuse_missing(table, [j for j in chosen if j not in numbers])
        self.preparation = fit_preparation(
            table,
            chosen,
            parts["train"],
            standardize=self.standardize,
            missing=self.missing,
            categorical=self.categorical,
        )
        x, labels = torch.from_numpy(inputs_of(table, self.preparation, unseen="zero")), torch.from_numpy(y)
        points = {name: Points(x[rows], labels[rows]) if len(rows) else None for name, rows in parts.items()}
        for name, path in (("validation", self.validation_path), ("test", self.test_path)):
            if path is not None:
                points[name] = self.points_of(path)
        self._check_parts(points)
        self._say_how_prepared(table, chosen, parts["train"])
        self.feature_names = self.preparation.names
        self.classes, self.density = len(self.class_names), None
        self.batch_size = min(self.batch_size, len(parts["train"]))
        return {**points, "fresh": None}

    def _say_how_read(self, table: Table) -> None:
        how = f"{table.separator}-separated, " if table.separator not in (None, "comma") else ""
        names = "" if table.header else "without a header, "
        chance = " (data.label names another)" if self.label is None else ""
        self.notes.append(f"read {how}{names}{plural(len(table), 'row')}; the label is '{self.label_name}'{chance}")

    def _say_how_prepared(self, table: Table, chosen: Sequence[int], train: np.ndarray) -> None:
        columns = [table.columns[j] for j in chosen]
        kinds = [f"{name} ({plural(len(levels), 'kind')})" for name, levels in self.preparation.levels.items()]
        if kinds:
            self.notes.append(f"an input for each kind: {listed(kinds)}")
        filled = sum(int(column.missing.sum()) for column in columns if column.name in self.preparation.medians)
        if filled:
            self.notes.append(
                f"{plural(filled, 'missing value stands', 'missing values stand')} at the median of the train rows"
            )
        constant = [column.name for column in columns if np.ptp(column.values[train]) == 0]
        if constant and table.shape is None:
            self.notes.append(f"the same in all train rows: {listed(constant)}")
        if self.standardize:
            self.notes.append("inputs standardised by the train rows (data.standardize=false leaves them as they are)")

    def _split(self, table: Table, y: np.ndarray, taken: Sequence[int]) -> dict[str, np.ndarray]:
        stream = generator(self.seed, "split")
        test = 0.0 if self.test_path is not None else self.test_fraction
        validation = 0.0 if self.validation_path is not None else self.validation_fraction
        if table.parts is not None:
            return self._given_parts(table, y, test, validation, stream)
        groups = words_of(table.columns[taken[1]])[0] if len(taken) > 1 else None
        parts = split(y, test, validation, stream, stratify=self.stratify, groups=groups)
        for key, share, name in (("test_fraction", test, "test"), ("validation_fraction", validation, "validation")):
            if share and not len(parts[name]):
                raise InputError(
                    f"data.{key} must set at least one point aside, got {share:g} of {plural(len(y), 'point')}"
                )
        return parts

    def _given_parts(self, table, y, test, validation, stream) -> dict[str, np.ndarray]:
        """Take the parts that the file itself has; what it lacks is split from its train rows."""
        given = {name: np.flatnonzero(table.parts == name) for name in ("train", "validation", "test")}
        rows = given["train"]
        shares = (0.0 if len(given["test"]) else test, 0.0 if len(given["validation"]) else validation)
        inner = split(y[rows], *shares, stream, stratify=self.stratify)
        return {name: given[name] if len(given[name]) and name != "train" else rows[inner[name]] for name in given}

    def _check_parts(self, points: dict[str, Points | None]) -> None:
        members = {name: np.bincount(part.y, minlength=len(self.class_names)) for name, part in points.items() if part}
        absent = np.flatnonzero(members["train"] == 0)
        if len(absent):
            raise InputError(
                f"data.seed must leave some of each class to train on: with {self.seed} none of class "
                f"'{self.class_names[absent[0]]}' of '{self.path}' is left; take another or a smaller data.test_fraction"
            )
        for name in ("validation", "test"):
            rare = [self.class_names[k] for k in np.flatnonzero(members[name] == 0)] if name in members else []
            if rare:
                self.notes.append(f"too rare for the {name} part, which has none of it: class {listed(rare)}")

    def points_of(self, path: str | Path) -> Points:
        """Read another file as this one was: columns by name, levels, medians, means and classes of the train rows.

        Raises:
            InputError: it lacks a column, holds a class or a word that was not trained on, or cannot be read.
        """
        table = read_other(path, self.recorded(), self.separator, self.header)
        return labelled_points(table, self.recorded(), self.missing)

    def recorded(self) -> dict[str, Any]:
        """Give what it takes to read another file in the same way, as plain values for JSON."""
        return {
            "path": str(expanded(self.path, "data.path").absolute()),
            "sha256": self.file_sha256,
            "label": self.label_name,
            "class_names": list(self.class_names),
            "feature_names": list(self.preparation.names),
            "preparation": self.preparation.recorded(),
            "notes": list(self.notes),
        }

    def state_dict(self) -> dict[str, Any]:
        """Give what Lightning keeps in a checkpoint: how to make inputs of rows, and the names of the classes."""
        return {} if self.train is None else {name: value for name, value in self.recorded().items() if name != "notes"}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Compare what a checkpoint says with this file.

        Raises:
            InputError: its network was trained on another file, or one prepared otherwise.
        """
        own = self.state_dict()
        other = [name for name in own if name != "path" and name in state and state[name] != own[name]]
        if other:
            raise InputError(f"data.path: the checkpoint is of data of another {', '.join(other)} than '{self.path}'")

    def to_units(self, x: torch.Tensor) -> torch.Tensor:
        """Turn inputs (N, *shape) into the units of the file, float32."""
        flat = self.preparation.unscaled(x.double().flatten(1).numpy())
        return torch.from_numpy(flat).float().reshape(x.shape)

    def to_inputs(self, x: torch.Tensor) -> torch.Tensor:
        """Turn values in the units of the file (N, *shape) into what the network takes, float32."""
        flat = self.preparation.scaled(x.double().flatten(1).numpy())
        return torch.from_numpy(flat).float().reshape(x.shape)


def same_file(path: str | Path, wanted: str | None, key: str) -> str:
    """Give the sha256 of a file.

    Raises:
        InputError: it cannot be read, or is another file than the one of sha256 `wanted`; the message names `key`.
    """
    try:
        found = file_sha256(checked_path(path, key))
    except OSError as error:
        raise InputError(f"{key} must name a readable file, got '{path}': {error.strerror}") from None
    if wanted not in (None, found):
        raise InputError(
            f"{key}: '{path}' is another file than the one this run was made of: its sha256 is {found[:12]}..., not "
            f"{wanted[:12]}...; train another run on it"
        )
    return found


def read_other(
    path: str | Path, recorded: dict[str, Any], separator: str | None = None, header: bool | None = None
) -> Table:
    """Read a file to be measured or predicted by a network that was trained on another.

    A file without a header has its columns by position: all of the first file's, or its features alone.

    Args:
        path: the file.
        recorded: what :meth:`FileDataModule.recorded` gave of the file that was trained on.
        separator, header: as in :func:`~mlplab.data.table.read_table`.
    """
    table = read_table(path, separator=separator, header=header)
    wanted = recorded["preparation"]["columns"]
    if table.shape is not None and list(table.shape) != list(recorded["preparation"]["shape"]):
        raise InputError(
            f"'{path}' must have rows of shape {tuple(recorded['preparation']['shape'])}, got {table.shape}"
        )
    if not table.header and set(wanted) - set(table.names) and len(table.columns) in (len(wanted), len(wanted) + 1):
        label = [recorded["label"]] if len(table.columns) > len(wanted) else []
        table.columns = [column._replace(name=name) for column, name in zip(table.columns, [*wanted, *label])]
    return table


def labelled_points(table: Table, recorded: dict[str, Any], missing: str = "refuse") -> Points:
    """Make inputs and classes of all rows of a table that :func:`read_other` read; ``missing`` may drop rows."""
    if recorded["label"] not in table.names:
        at = table.names.index(table.labels) if table.labels else None
        if at is None:
            raise InputError(
                f"'{table.path}' must have the label column '{recorded['label']}', got {listed(table.names)}"
            )
    else:
        at = table.names.index(recorded["label"])
    preparation = Preparation.from_recorded(recorded["preparation"])
    if missing == "drop":
        places = [j for j, name in enumerate(table.names) if name in preparation.columns or j == at]
        table = table.take(np.flatnonzero(complete_rows(table, places)))
    if not len(table):
        raise InputError(f"'{table.path}' must have at least one row")
    y = codes_among(table, table.columns[at], recorded["class_names"])
    return Points(torch.from_numpy(inputs_of(table, preparation)), torch.from_numpy(y))


def _many(names: Sequence[str | int] | str | int | None) -> list[str | int]:
    if names is None:
        return []
    return [names] if isinstance(names, (str, int)) else list(names)


class WholeFile(LabelledData):
    """All rows of a file as the test points of a network that was trained on another, with what a data module has.

    Args:
        path: the file.
        recorded: what :meth:`FileDataModule.recorded` gave of the file that was trained on.
        labelled: whether the file must have the label column; without it `test` is None, and `inputs` alone is there.
        separator, header, missing: as of :class:`FileDataModule`.

    Raises:
        InputError: see :meth:`FileDataModule.points_of`.
    """

    def __init__(
        self,
        path: str | Path,
        recorded: dict[str, Any],
        *,
        labelled: bool = True,
        separator: str | None = None,
        header: bool | None = None,
        missing: str = "refuse",
    ):
        table = read_other(path, recorded, separator, header)
        self.preparation = Preparation.from_recorded(recorded["preparation"])
        self.class_names = tuple(recorded["class_names"])
        self.feature_names, self.classes = self.preparation.names, len(self.class_names)
        self.input_shape = self.preparation.shape
        self.sha256 = file_sha256(path)
        self.test = labelled_points(table, recorded, missing) if labelled else None
        self.inputs = self.test.x if labelled else torch.from_numpy(inputs_of(table, self.preparation))

    to_units, to_inputs = FileDataModule.to_units, FileDataModule.to_inputs


class FileDataModule01(FileDataModule):
    """Serve a table as version 0.1 did, neither standardised nor stratified: its run folders name this class."""

    def __init__(self, path, standardize: bool = False, stratify: bool = False, **more):
        super().__init__(path, standardize=standardize, stratify=stratify, **more)
