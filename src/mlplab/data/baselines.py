"""What simple classifiers reach on a table: the majority class, logistic regression, the nearest neighbours."""

import sys
import warnings
from typing import Any

import numpy as np

from mlplab.data.arrays import Points
from mlplab.words import printable

NEIGHBOURS = 5
# More rows or features than these take longer than the network does; then the first ones stand for all.
MOST_TRAIN, MOST_TEST, MOST_FEATURES = 20_000, 5_000, 1_000


def baselines(train: Points, test: Points, classes: int) -> dict[str, dict[str, Any]]:
    """Fit each baseline to the train points and measure it on the test points, as the network is.

    Args:
        train: inputs as the network takes them; at most `MOST_TRAIN` points are used.
        test: at most `MOST_TEST` points are used.
        classes: number of classes; each has a train point.

    Returns:
        By name: ``accuracy`` (0 to 1), ``nll`` (nats; None for the neighbours, whose shares are no probabilities) and
        ``points`` of the test. ``majority`` alone where scikit-learn is not installed or there are more than
        `MOST_FEATURES` features. What scikit-learn cannot fit is left out, and why is said on standard error: the run
        depends on none of it.
    """
    x, y = (np.asarray(part.flatten(1) if part.ndim > 1 else part)[:MOST_TRAIN] for part in train)
    test_x, test_y = (np.asarray(part.flatten(1) if part.ndim > 1 else part)[:MOST_TEST] for part in test)
    # Laplace's rule, so that a class has a probability in any case.
    shares = (np.bincount(y, minlength=classes) + 1) / (len(y) + classes)
    accuracy = float((test_y == shares.argmax()).mean())
    found = {"majority": _figures(accuracy, float(-np.log(shares[test_y]).mean()), len(test_y))}
    if classes < 2 or x.shape[1] > MOST_FEATURES or len(np.unique(y)) < classes:
        return found
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from sklearn.neighbors import KNeighborsClassifier
    except ImportError:
        return found
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            linear = LogisticRegression(max_iter=500).fit(x, y)
        probabilities = linear.predict_proba(test_x)
        nll = float(-np.log(np.maximum(probabilities[np.arange(len(test_y)), test_y], 1e-300)).mean())
        found["logistic_regression"] = _figures(float((probabilities.argmax(1) == test_y).mean()), nll, len(test_y))
        near = KNeighborsClassifier(min(NEIGHBOURS, len(x))).fit(x, y)
        found["nearest_neighbours"] = _figures(float((near.predict(test_x) == test_y).mean()), None, len(test_y))
    except Exception as error:  # of another's making; the run is not to end by it
        words = printable(" ".join(f"{type(error).__name__}: {error}".split())[:200])
        print(f"note: scikit-learn cannot compare here: {words}", file=sys.stderr)
    return found


def _figures(accuracy: float, nll: float | None, points: int) -> dict[str, Any]:
    return {"accuracy": accuracy, "nll": nll, "points": points}
