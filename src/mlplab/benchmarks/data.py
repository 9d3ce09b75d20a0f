"""Tables: reading a million rows against pandas, and accuracy on scikit-learn's sets against its MLPClassifier."""

import statistics
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mlplab.benchmarks.benchmark import Row, in_turn, installed, row
from mlplab.config.composition import compose
from mlplab.data.fast_csv import Form, by_numpy
from mlplab.data.table import MISSING, read_table
from mlplab.training.fit import fit

SETS = ("iris", "wine", "breast_cancer", "digits")
SPLITS = range(5)
ROWS, COLUMNS = 1_000_000, 20
MOST_RATIO, MOST_SECONDS = 1.5, 20.0
# Student's t at 95 %, one-sided, with four degrees of freedom: five paired splits.
LARGEST_T = 2.132


def rows(repeats: int, logs: Path) -> Iterator[Row]:
    """Yield the rows of the benchmark ``data``; reading is timed `repeats` times, accuracy is over five splits."""
    with tempfile.TemporaryDirectory() as place:
        yield from reading(Path(place), repeats)
        if installed("sklearn"):
            for name in SETS:
                yield from accuracy(Path(place), name)
        else:
            yield row("accuracy on small sets", "scikit-learn", None, note="not installed: pip install 'mlplab[files]'")


def reading(place: Path, repeats: int) -> Iterator[Row]:
    """Time the reading of a CSV file of a million rows and 20 features, labels besides."""
    path = place / "million.csv"
    rng = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(f"x{i}" for i in range(COLUMNS)) + ",label\n")
        for _ in range(100):
            values, labels = rng.normal(size=(ROWS // 100, COLUMNS)), rng.integers(0, 3, ROWS // 100)
            line = ",".join(["%.6f"] * COLUMNS) + ",%d"
            file.write("\n".join(line % (*row, label) for row, label in zip(values.tolist(), labels)) + "\n")
    form = Form(",", ".", True, MISSING, [False] * (COLUMNS + 1))
    systems = {"mlplab": lambda: read_table(path), "numpy": lambda: by_numpy(path, form)}
    if installed("pandas"):
        import pandas

        systems["pandas.read_csv"] = lambda: pandas.read_csv(path)
    taken = in_turn(systems, repeats)
    work = "10^6 rows x 20"
    own, other = taken["mlplab"], taken.get("pandas.read_csv")
    yield row(work, "pandas.read_csv", other, note="not installed: pip install 'mlplab[bench]'")
    ratio = None if other is None else own / other
    fits = own <= MOST_SECONDS and (ratio is None or ratio <= MOST_RATIO)
    how = "pyarrow" if installed("pyarrow") else "without pyarrow"
    yield row(work, f"mlplab, {how}", own, ratio=ratio, target=f"<= {MOST_RATIO}, {MOST_SECONDS:g} s", ok=fits)
    alone = taken["numpy"]
    yield row(
        work,
        "mlplab, numpy alone",
        alone,
        ratio=other and alone / other,
        target=f"{MOST_SECONDS:g} s",
        ok=alone <= MOST_SECONDS,
    )


def accuracy(place: Path, name: str) -> Iterator[Row]:
    """Compare experiment=table with MLPClassifier after StandardScaler, over five splits: the same rows, the same layer."""
    from sklearn import datasets
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    loaded = getattr(datasets, f"load_{name}")()
    path = place / f"{name}.npz"
    np.savez(path, x=loaded.data, y=loaded.target)
    ours, theirs = [], []
    for seed in SPLITS:
        words = [
            f"data.path={path}",
            f"data.seed={seed}",
            f"seed={seed}",
            "figures=none",
            "logger=none",
            "callbacks.progress=null",
        ]
        config = compose("train", ["experiment=table", *words])
        ours.append(fit(config, None)["test"]["accuracy"])
        data = _served(config)
        peer = make_pipeline(StandardScaler(), MLPClassifier((config.model.width,), random_state=seed))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            peer.fit(data.train.x.numpy(), data.train.y.numpy())
        theirs.append(float(peer.score(data.test.x.numpy(), data.test.y.numpy())))
    t = paired_t(ours, theirs)
    work = name.replace("_", " ")
    told = [
        f"{100 * statistics.mean(values):.2f} ± {100 * statistics.stdev(values):.2f} %" for values in (theirs, ours)
    ]
    yield row(work, "MLPClassifier", None, shown=told[0], value=statistics.mean(theirs))
    yield row(
        work,
        "mlplab",
        None,
        shown=told[1],
        value=statistics.mean(ours),
        ratio=statistics.mean(ours) / statistics.mean(theirs),
        target="not below (t)",
        ok=t > -LARGEST_T,
        t=t,
    )


def _served(config):
    from hydra.utils import instantiate

    data = instantiate(config.data)
    data.setup()
    return data


def paired_t(ours: list[float], theirs: list[float]) -> float:
    """Compute Student's t of the mean difference of pairs; 0 where all are equal, else infinite without a spread."""
    differences = [a - b for a, b in zip(ours, theirs)]
    mean, spread = statistics.mean(differences), statistics.stdev(differences)
    if spread == 0:
        return 0.0 if mean == 0 else float("inf") * mean
    return mean / (spread / len(differences) ** 0.5)
