import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from mlplab.errors import InputError
from mlplab.nn.losses import (
    CrossEntropy,
    count_hits,
    cross_entropy,
    first_largest,
    gradient_at_logits,
    negative_log_softmax,
    soft_targets,
)
from mlplab.options import REDUCTION

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
OPTIONS = list(itertools.product((False, True), (-100, 1), (0.0, 0.1, 1.0), REDUCTION.names))
BOTH = pytest.mark.parametrize("dtype", (torch.float32, torch.float64))


def generator():
    return torch.Generator().manual_seed(5)


def value_and_gradient(loss, logits, labels, **options):
    logits = logits.clone().requires_grad_()
    value = loss(logits, labels, **options)
    return value.detach(), torch.autograd.grad(value.sum(), logits)[0]


def assert_as_torch(logits, labels, **options):
    """Value and gradient are torch's, to the tolerance of the type, infinities and NaN included."""
    tolerance = TOLERANCE[logits.dtype]
    for own, theirs in zip(
        value_and_gradient(cross_entropy, logits, labels, **options),
        value_and_gradient(F.cross_entropy, logits, labels, **options),
    ):
        assert own.dtype == theirs.dtype and own.shape == theirs.shape
        torch.testing.assert_close(own, theirs, rtol=tolerance, atol=tolerance, equal_nan=True)


def options_of(weighted, ignore_index, label_smoothing, reduction, classes, dtype):
    weight = torch.rand(classes, generator=generator(), dtype=dtype) + 0.1 if weighted else None
    return {"weight": weight, "ignore_index": ignore_index, "label_smoothing": label_smoothing, "reduction": reduction}


@BOTH
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("classes", (2, 3, 7))
def test_random_logits_as_torch(option, classes, dtype):
    random = generator()
    for scale in (1.0, 10.0, 60.0):
        logits = scale * torch.randn(33, classes, generator=random, dtype=dtype)
        labels = torch.randint(classes, (33,), generator=random)
        assert_as_torch(logits, labels, **options_of(*option, classes, dtype))


@BOTH
@pytest.mark.parametrize("option", OPTIONS)
def test_extreme_logits_as_torch_and_finite(option, dtype):
    values = torch.tensor([0.0, 1e-30, 87.337, 88.723, -103.972, 1e4, -1e4, 1e30, -1e30], dtype=dtype)
    logits = torch.cartesian_prod(values, values, values)
    for label in range(3):
        labels = torch.full((len(logits),), label)
        options = options_of(*option, 3, dtype)
        if options["ignore_index"] == label and options["reduction"] == "mean":
            continue  # nothing counts: 0/0 in both, see below
        # Sums over thousands of 1e30 differ in the order of addition, hence rows by themselves as well.
        assert_as_torch(logits, labels, **options | {"reduction": "none"})
        value, gradient = value_and_gradient(cross_entropy, logits, labels, **options)
        assert value.isfinite().all() and gradient.isfinite().all()


@BOTH
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("infinite", (math.inf, -math.inf))
def test_one_infinite_logit_as_torch(option, infinite, dtype):
    for place, label in itertools.product(range(3), range(3)):
        logits = torch.randn(4, 3, generator=generator(), dtype=dtype)
        logits[1, place] = infinite
        labels = torch.tensor([0, label, 2, 0])
        assert_as_torch(logits, labels, **options_of(*option, 3, dtype))


@BOTH
def test_rows_without_a_softmax_are_nan_as_in_torch(dtype):
    rows = [[math.inf] * 3, [-math.inf] * 3, [math.nan, 0.0, 1.0], [math.inf, -math.inf, 0.0]]
    logits = torch.tensor(rows, dtype=dtype)
    for label in range(3):
        assert_as_torch(logits, torch.full((4,), label), reduction="none")
        assert_as_torch(logits, torch.full((4,), label), reduction="none", label_smoothing=0.1)


@BOTH
def test_a_weight_of_zero_as_torch(dtype):
    logits = torch.randn(20, 3, generator=generator(), dtype=dtype)
    labels = torch.arange(20) % 3
    logits[3, 1] = -math.inf
    weight = torch.tensor([1.0, 0.0, 0.5], dtype=dtype)
    for reduction, smoothing in itertools.product(REDUCTION.names, (0.0, 0.2)):
        assert_as_torch(logits, labels, weight=weight, reduction=reduction, label_smoothing=smoothing)


def test_nothing_counts():
    logits, labels = torch.randn(3, 4, generator=generator()), torch.full((3,), -100)
    assert_as_torch(logits, labels)
    assert cross_entropy(logits, labels, reduction="sum") == 0
    assert cross_entropy(logits, labels).isnan()
    assert cross_entropy(logits[:0], labels[:0]).isnan()
    assert cross_entropy(logits[:0], labels[:0], reduction="none").shape == (0,)


def test_one_class_costs_nothing():
    logits = torch.tensor([[3.0], [-1e30]])
    value, gradient = value_and_gradient(cross_entropy, logits, torch.zeros(2, dtype=torch.long))
    assert value == 0 and not gradient.any()


def test_reference_numbers():
    logits = torch.tensor([[10.0, 1, -1, -20], [10, 10, 2, -10]])
    assert cross_entropy(logits, torch.tensor([0, 1])).item() == pytest.approx(0.34672749, abs=1e-7)
    # What the tutorial's own form turns to inf.
    logits[1] = torch.tensor([10.0, 10, 100, -110])
    assert cross_entropy(logits, torch.tensor([0, 1])).item() == pytest.approx(45, abs=1e-3)
    losses = [cross_entropy(logits[1:], torch.tensor([label])).item() for label in range(4)]
    assert losses == pytest.approx([90, 90, 0, 210], abs=1e-30)


@BOTH
def test_equal_logits_give_the_log_of_their_number(dtype):
    for classes, level in itertools.product((1, 2, 4, 1000), (0.0, 88.0, 1e30)):
        value = cross_entropy(torch.full((3, classes), level, dtype=dtype), torch.zeros(3, dtype=torch.long))
        assert value.item() == pytest.approx(math.log(classes), abs=TOLERANCE[dtype] * 10)


@BOTH
@pytest.mark.parametrize("gap", (1, 5, 17, 20, 40, 80))
def test_a_wide_gap_keeps_its_small_loss(gap, dtype):
    exact = math.log1p(math.exp(-gap))
    value = cross_entropy(torch.tensor([[gap, 0.0]], dtype=dtype), torch.tensor([0])).item()
    assert value == pytest.approx(exact, rel=1e-5 if dtype == torch.float32 else 1e-12)
    if gap == 20:
        assert value == pytest.approx(2.0612e-9, rel=1e-4)


def test_adding_a_constant_changes_nothing():
    logits = torch.randn(50, 4, generator=generator(), dtype=torch.float64)
    labels = torch.randint(4, (50,), generator=generator())
    shifted = cross_entropy(logits + 1e4, labels)
    assert shifted.item() == pytest.approx(cross_entropy(logits, labels).item(), abs=1e-11)


def test_gradient_is_softmax_minus_one_hot_over_n():
    logits = torch.randn(50, 4, generator=generator(), dtype=torch.float64)
    labels = torch.randint(4, (50,), generator=generator())
    _, gradient = value_and_gradient(cross_entropy, logits, labels)
    exact = (logits.softmax(1) - F.one_hot(labels, 4)) / 50
    torch.testing.assert_close(gradient, exact, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("option", [o for o in OPTIONS if o[3] == "mean"])
def test_closed_form_gradient_as_autograd_and_finite_differences(option):
    random = generator()
    options = options_of(*option, 3, torch.float64)
    loss = CrossEntropy(**options)
    logits = torch.randn(2, 5, 3, generator=random, dtype=torch.float64)
    labels = torch.tensor([[0, 1, 2, 0, 2], [2, 2, 1, 0, 0]])
    closed = gradient_at_logits(logits, *loss.targets(labels, 3, torch.float64))
    probed = logits.clone().requires_grad_()
    (auto,) = torch.autograd.grad(loss.per_batch(probed, labels).sum(), probed)
    torch.testing.assert_close(closed, auto, rtol=1e-12, atol=1e-14)
    step = 1e-5
    for index in itertools.product(range(2), range(5), range(3)):
        up, down = logits.clone(), logits.clone()
        up[index] += step
        down[index] -= step
        slope = (loss.per_batch(up, labels).sum() - loss.per_batch(down, labels).sum()) / (2 * step)
        assert closed[index].item() == pytest.approx(slope.item(), abs=1e-9)


@BOTH
def test_per_batch_is_the_loss_of_each_minibatch(dtype):
    for option in OPTIONS:
        if option[3] != "mean":
            continue
        loss = CrossEntropy(**options_of(*option, 3, dtype))
        logits = torch.randn(2, 4, 6, 3, generator=generator(), dtype=dtype)
        labels = torch.randint(3, (2, 4, 6), generator=generator())
        labels[0, 0] = torch.tensor([0, 1, 2, 0, 1, 2])
        each = loss.per_batch(logits, labels)
        assert each.shape == (2, 4)
        for i, k in itertools.product(range(2), range(4)):
            expected = F.cross_entropy(logits[i, k], labels[i, k], **options_of(*option, 3, dtype))
            torch.testing.assert_close(
                each[i, k], expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype], equal_nan=True
            )


def test_soft_targets_written_out():
    weight = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    q, norm = soft_targets(
        torch.tensor([2, -1]), 3, weight=weight, ignore_index=-1, label_smoothing=0.3, dtype=torch.float64
    )
    expected = torch.tensor([[0.1, 0.2, 0.7 * 4 + 0.1 * 4], [0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(q, expected)
    assert norm == 4


def test_negative_log_softmax_is_never_negative():
    logits = 30 * torch.randn(4000, 5, generator=generator())
    assert (negative_log_softmax(logits) >= 0).all()


@pytest.mark.parametrize("classes", (1, 2, 4, 7))
def test_the_first_largest_is_argmax(classes):
    logits = torch.randint(-2, 2, (500, classes), generator=generator()).float()  # many ties
    logits[0], logits[1, 0] = -math.inf, -math.inf
    kept = slice(2 if classes == 1 else 1, None)
    assert torch.equal(first_largest(logits)[kept].long(), logits[kept].argmax(-1))
    logits[2, -1], logits[3, 0] = math.inf, math.nan  # rows without a softmax, as one of -inf alone
    assert first_largest(logits)[:4].isnan().tolist() == [True, classes == 1, True, True]
    assert count_hits(logits[3:4], torch.zeros(1, dtype=torch.long)) == 0


@pytest.mark.parametrize("classes, ignore_index", [(1, -100), (3, -100), (4, -100), (1, 0), (4, 0)])
@pytest.mark.parametrize("special", (None, 0.0, math.inf, -math.inf, math.nan))
def test_losses_and_hits_together_are_those_apart(classes, ignore_index, special):
    logits = torch.randn(5, 7, classes, generator=generator())
    labels = torch.randint(classes, (5, 7), generator=generator())
    labels[0, 0] = labels[3, 2] = ignore_index
    if special is not None:
        logits[1, 3], logits[2, 4, 0] = special, special
    loss = CrossEntropy(ignore_index=ignore_index)
    found, hits = loss.measure(logits, labels)
    torch.testing.assert_close(found, loss.per_batch(logits, labels), rtol=0, atol=0, equal_nan=True)
    assert hits.tolist() == count_hits(logits, labels).tolist()
    own = (logits.argmax(-1) == labels) & logits.isfinite().all(-1)
    assert special is not None or hits.tolist() == own.sum(-1).tolist()


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_several_largest_logits_share_the_gradient_as_in_torch(dtype):
    logits = torch.tensor([[2.0, 2, 1, 2], [0, 0, 0, 0], [-1e30, 5, 5, -1]], dtype=dtype)
    for labels in itertools.product(range(4), repeat=3):
        assert_as_torch(logits, torch.tensor(labels))


@pytest.mark.parametrize("row", ([0.0, 0.0], [1.0, 1.0, 1.0, 0.0], [2.0, -1.0, 0.5]))
def test_the_second_derivative_is_right_where_logits_are_equal_too(row):
    logits = torch.tensor([row, row[::-1]], dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1])
    for options in ({}, {"label_smoothing": 0.1, "weight": torch.arange(1.0, len(row) + 1).double()}):
        with torch.random.fork_rng(devices=[]):  # both draw directions
            assert torch.autograd.gradcheck(lambda x: cross_entropy(x, labels, **options), logits)
            assert torch.autograd.gradgradcheck(lambda x: cross_entropy(x, labels, **options), logits)
    hessian = torch.autograd.functional.hessian(lambda x: cross_entropy(x, labels[:1]), torch.zeros(1, 2).double())
    assert hessian.reshape(2, 2).tolist() == [[0.25, -0.25], [-0.25, 0.25]]


def test_module_is_the_function():
    logits, labels = torch.randn(6, 3, generator=generator()), torch.tensor([0, 1, 2, 0, 1, -7])
    options = {"ignore_index": -7, "label_smoothing": 0.1}
    own = CrossEntropy(weight=[1.0, 2.0, 3.0], **options)
    theirs = torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]), **options)
    torch.testing.assert_close(own(logits, labels), theirs(logits, labels), rtol=1e-6, atol=1e-6)
    assert own.state_dict() == {}


def test_double_weights_keep_their_digits():
    weight = torch.tensor([0.1, 0.7], dtype=torch.float64)
    logits, labels = torch.randn(6, 2, generator=generator(), dtype=torch.float64), torch.tensor([0, 1, 1, 0, 1, 1])
    expected = F.cross_entropy(logits, labels, weight=weight)
    assert CrossEntropy(weight=weight)(logits, labels).item() == pytest.approx(expected.item(), abs=1e-13)


GOOD = torch.zeros(2, 3), torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("logits", "labels", "options", "words"),
    [
        (torch.zeros(3), GOOD[1], {}, r"takes logits \(N, C\).*\(3,\)"),
        (torch.zeros(2, 3, 4), GOOD[1], {}, "takes logits"),
        (GOOD[0], torch.tensor([0]), {}, "takes logits"),
        (GOOD[0].long(), GOOD[1], {}, "a floating type, got torch.int64"),
        (GOOD[0], torch.tensor([0.0, 1.0]), {}, "integer labels, got torch.float32"),
        (GOOD[0], torch.tensor([True, False]), {}, "integer labels, got torch.bool"),
        (GOOD[0], torch.tensor([0, -1]), {}, "0..2 or equal ignore_index -100, got -1 in row 1"),
        (GOOD[0], torch.tensor([3, 0]), {}, "got 3 in row 0"),
        (*GOOD, {"reduction": "avg"}, "mean, sum, none, got 'avg'"),
        (*GOOD, {"label_smoothing": 1.5}, "from 0 to 1, got 1.5"),
        (*GOOD, {"label_smoothing": math.nan}, "from 0 to 1, got nan"),
        (*GOOD, {"weight": torch.ones(2)}, "each of the 3 classes"),
    ],
)
def test_bad_input_is_refused_in_one_line(logits, labels, options, words):
    with pytest.raises(InputError, match=words) as caught:
        cross_entropy(logits, labels, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weight": [1.0, -1.0]}, "each entry a number >= 0"),
        ({"weight": [1.0, math.inf]}, "each entry a number >= 0"),
        ({"reduction": "no"}, "mean, sum, none"),
        ({"label_smoothing": -0.1}, "from 0 to 1, got -0.1"),
    ],
)
def test_bad_options_of_the_module(options, words):
    with pytest.raises(InputError, match=words):
        CrossEntropy(**options)
