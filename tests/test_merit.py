"""Calibration error by its definition, and the figures of merit against scikit-learn."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from mlplab.runs.metrics import calibration_error, reliability, unequal
from mlplab.training.results import measure, merit


def random_logits(classes, count=500, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, classes, generator=generator)
    return logits, torch.randint(0, classes, (count,), generator=generator)


def test_a_probability_of_exactly_one_counts_in_the_last_bin():
    probabilities = np.array([[0.9526, 0.0474], [1.0, 0.0]])
    assert calibration_error(probabilities, [0, 1]) == pytest.approx(abs(0.5 - (0.9526 + 1) / 2))  # 0.476
    counts, sure, accuracy = reliability(probabilities, [0, 1])
    assert counts[-1] == 2 and accuracy[-1] == 0.5 and sure[-1] == pytest.approx(0.9763)
    logits = torch.tensor([[3.0, 0.0], [800.0, 0.0]])
    assert measure(logits, torch.tensor([0, 1]))["calibration_error"] == pytest.approx(0.4763, abs=1e-4)


@pytest.mark.parametrize("classes", [2, 5])
def test_elsewhere_it_is_torchmetrics(classes):
    logits, labels = random_logits(classes)
    probabilities = logits.double().softmax(1)
    expected = multiclass_calibration_error(probabilities, labels, num_classes=classes, n_bins=15)
    assert calibration_error(probabilities.numpy(), labels.numpy()) == pytest.approx(
        float(expected), abs=1e-6
    )  # torchmetrics counts in float32
    assert np.isnan(calibration_error(np.array([[np.nan, 1.0]]), [0]))


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_figures_of_merit_are_scikit_learns(classes):
    metrics = pytest.importorskip("sklearn.metrics")
    logits, labels = random_logits(classes)
    logits[labels == 0, 0] += 2
    found = merit(logits, labels)
    predicted, p = logits.argmax(1).numpy(), logits.double().softmax(1).numpy()
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(labels, predicted))
    assert found["f1_macro"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    told = p[:, 1] if classes == 2 else p
    assert found["auroc"] == pytest.approx(metrics.roc_auc_score(labels, told, multi_class="ovr"), abs=1e-6)
    assert found["confusion"] == metrics.confusion_matrix(labels, predicted).tolist()
    assert found["recall"] == pytest.approx(metrics.recall_score(labels, predicted, average=None).tolist())


def test_degenerate_sets():
    one = merit(torch.zeros(3, 1), torch.zeros(3, dtype=torch.int64))
    assert one["balanced_accuracy"] == 1 and one["auroc"] is None and one["confusion"] == [[3]]
    absent = merit(torch.tensor([[1.0, 0, 0], [0, 1, 0]]), torch.tensor([0, 1]))
    assert absent["recall"] == [1, 1, None] and absent["auroc"] is None and absent["balanced_accuracy"] == 1
    broken = merit(torch.full((2, 2), float("nan")), torch.tensor([0, 1]))
    assert broken["auroc"] is None


def test_when_accuracy_says_little():
    assert unequal([[98, 0], [1, 1]]) and not unequal([[50, 0], [1, 49]]) and not unequal([[5]])
    assert unequal([[60, 0, 0], [0, 20, 0], [0, 0, 20]])
