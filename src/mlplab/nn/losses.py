"""Cross entropy, written by the lab: exact for large margins, finite for large logits."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from mlplab import options
from mlplab.errors import InputError
from mlplab.rules import check_all


def negative_log_softmax(logits: Tensor) -> Tensor:
    """Compute -log softmax over the last axis without overflow and without losing small values.

    With m the largest logit at index a, -log softmax_j = (m - x_j) + log1p(sum over i != a of exp(x_i - m)).
    Leaving the largest term out of the sum keeps a loss of 2e-9 where 1 + 2e-9 would round to 1.

    Args:
        logits: array of shape (..., C), C >= 1.

    Returns:
        Array of shape (..., C), every value >= 0.
    """
    rest, gaps, _ = _rest_and_gaps(logits)
    return rest.log1p() + gaps


def _rest_and_gaps(logits: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Give what :func:`negative_log_softmax` is made of.

    Returns:
        The sum over i != a of exp(x_i - m), (..., 1); m - x, (..., C); and how many besides x_a are as large, (..., 1),
        NaN where a logit is: None where a gradient is asked for.
    """
    if logits.requires_grad and torch.is_grad_enabled():
        # All derivatives are those of the formula with one index a, of several largest the first: amax would share
        # its gradient among them, and the second derivative would be lost.
        place = logits.detach().argmax(dim=-1, keepdim=True)
        largest = logits.gather(-1, place)
        gaps = largest - logits
        others = gaps.neg().exp().scatter(-1, place, 0.0).sum(dim=-1, keepdim=True)
        return others + (largest - largest).detach(), gaps, None
    largest = logits.amax(dim=-1, keepdim=True)
    gaps = largest - logits
    # All that are as large as the largest are left out and counted instead, less one. Without masks and indices
    # this is vector code.
    is_smaller = gaps.detach().sign()
    others = gaps.neg().exp_().mul_(is_smaller).sum(dim=-1, keepdim=True)
    ties = logits.shape[-1] - 1 - is_smaller.sum(dim=-1, keepdim=True)
    # A row whose largest logit is infinite has no softmax: NaN throughout, as in torch, and 0 for any other row.
    return others + ties + (largest - largest).detach(), gaps, ties


def first_largest(logits: Tensor) -> Tensor:
    """Give the class of the largest logit, of several the first: (..., C) to (...), as floats; NaN if it is not finite."""
    # As argmax, but vector code: a hundredth of its time over a last axis of a few classes.
    classes, largest = logits.shape[-1], logits.amax(dim=-1, keepdim=True)
    is_largest = 1 - (largest - logits).sign()
    place = is_largest * torch.arange(classes, 0, -1, dtype=logits.dtype, device=logits.device)
    return (classes - place.amax(dim=-1)).sub_((largest - largest).squeeze(-1))


def count_hits(logits: Tensor, labels: Tensor) -> Tensor:
    """Count the samples whose largest logit is their label's: (..., B, C) and (..., B) to (...)."""
    return (first_largest(logits) == labels).sum(-1)


def soft_targets(
    labels: Tensor,
    classes: int,
    *,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """Write the loss as a weighted sum: loss_i = sum over c of q_ic * (-log softmax_ic).

    q_ic = (1 - s) w_y [c = y] + s w_c / C, as torch defines label smoothing s and class weights w; zero where
    the label is ``ignore_index``.

    Args:
        labels: integers of shape (..., B).
        classes: number of classes C.
        weight: class weights of shape (C,), or None for ones.
        ignore_index: label whose samples count for nothing.
        label_smoothing: s in [0, 1].
        dtype: of the result.

    Returns:
        q of shape (..., B, C), and the norm of shape (...): the sum of w_y over the samples that count, by
        which "mean" divides.
    """
    counted, safe = labels != ignore_index, _known(labels, ignore_index)
    if weight is None:
        weight, sample_weight = torch.ones((), dtype=dtype, device=labels.device), counted.to(dtype)
    else:
        weight = weight.to(labels.device, dtype)
        sample_weight = weight[safe] * counted
    # In memory the samples of one class lie side by side, as in the logits of a population.
    q = torch.zeros(*labels.shape[:-1], classes, labels.shape[-1], dtype=dtype, device=labels.device)
    q.scatter_(-2, safe.unsqueeze(-2), (sample_weight * (1 - label_smoothing)).unsqueeze(-2))
    q = q.transpose(-1, -2)
    if label_smoothing:
        q = q + (label_smoothing / classes) * weight * counted.unsqueeze(-1)
    return q, sample_weight.sum(dim=-1)


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """Compute the cross entropy of logits and labels, as torch defines it.

    Args:
        logits: array of shape (N, C).
        labels: integers of shape (N,) in 0..C-1, or ``ignore_index``.
        weight: class weights of shape (C,), or None.
        ignore_index: label whose samples count for nothing.
        label_smoothing: in [0, 1].
        reduction: "mean" (over the weights of the samples that count), "sum" or "none".

    Returns:
        A scalar, or an array of shape (N,) with reduction "none".

    Raises:
        InputError: if shapes, labels or options are not as above.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise InputError(
            f"cross entropy takes logits (N, C) and labels (N,), got {tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    if not logits.is_floating_point():
        raise InputError(f"cross entropy takes logits of a floating type, got {logits.dtype}; .float() makes one")
    if labels.dtype.is_floating_point or labels.dtype.is_complex or labels.dtype == torch.bool:
        raise InputError(f"cross entropy takes integer labels, got {labels.dtype}")
    options.REDUCTION.check("loss.reduction", reduction)
    _check_options(weight, label_smoothing, logits.shape[1])
    wrong = ((labels < 0) | (labels >= logits.shape[1])) & (labels != ignore_index)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise InputError(
            f"labels must lie in 0..{logits.shape[1] - 1} or equal ignore_index {ignore_index}, "
            f"got {int(labels[row])} in row {row}"
        )
    losses, norm, _ = _losses(logits, labels.long(), weight, ignore_index, label_smoothing)
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.sum() / norm


def _losses(
    logits: Tensor, labels: Tensor, weight: Tensor | None, ignore_index: int, label_smoothing: float
) -> tuple[Tensor, Tensor, Callable[[], Tensor]]:
    """Losses (..., B) and norm (...) of logits (..., B, C) and labels (..., B) known to be good; and what counts the hits (...)."""
    rest, gaps, ties = _rest_and_gaps(logits)
    log_sum = rest.log1p()  # above the largest logit
    counted, safe = labels != ignore_index, _known(labels, ignore_index)
    if ties is None:  # the gradient lies in memory as the logits do, and a product with it has the same bits
        own = gaps.gather(-1, safe.unsqueeze(-1)).squeeze(-1)
    else:
        own = gaps.transpose(-1, -2).gather(-2, safe.unsqueeze(-2)).squeeze(-2)
    losses, norm = log_sum.squeeze(-1) + own, counted

    def hits() -> Tensor:
        # Where no other logit is as large, the label's is the first of the largest; a negative one is no class.
        if ties is None or ignore_index >= 0 or logits.device.type != "cpu" or ties.any():
            return count_hits(logits, labels)
        return ((own == 0) & counted).sum(dim=-1)

    if weight is not None:
        weight = weight.to(logits.device, logits.dtype)
        losses, norm = losses * weight[safe], weight[safe] * counted
    if label_smoothing:
        surprise = log_sum + gaps
        spread = (surprise if weight is None else surprise * weight).sum(dim=-1)
        losses = (1 - label_smoothing) * losses + label_smoothing / logits.shape[-1] * spread
    return losses.masked_fill(~counted, 0.0), norm.sum(dim=-1).to(logits.dtype), hits


def _known(labels: Tensor, ignore_index: int) -> Tensor:
    """Give good labels (...) with a class, 0, for those that are ignored."""
    return labels.clamp(min=0) if ignore_index < 0 else labels.masked_fill(labels == ignore_index, 0)


def _check_options(weight: Tensor | None, label_smoothing: float, classes: int) -> None:
    options.LOSS["label_smoothing"].check("loss.label_smoothing", label_smoothing)
    if weight is not None and weight.shape != (classes,):
        raise InputError(
            f"loss.weight must hold one number for each of the {classes} classes, got {tuple(weight.shape)}"
        )


class BatchedLoss(nn.Module, ABC):
    """A loss that can be taken of many minibatches at once, with its gradient at the logits written out."""

    @abstractmethod
    def per_batch(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Compute the mean loss of each minibatch: (..., B, C) and (..., B) to (...), labels known to be good."""

    def measure(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute :meth:`per_batch` and :func:`count_hits`, each (...)."""
        return self.per_batch(logits, labels), count_hits(logits, labels)

    @abstractmethod
    def targets(self, labels: Tensor, classes: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Prepare the gradient of :meth:`per_batch`, which is a_i softmax_ic - q_ic.

        Args:
            labels: integers of shape (..., B).
            classes: number of classes C.
            dtype: of the logits.

        Returns:
            q of shape (..., B, C) and a of shape (..., B, 1), both divided by the minibatch's norm.
        """


class CrossEntropy(BatchedLoss):
    """The lab's cross entropy as a module, with the closed form of its gradient.

    Args:
        weight: one weight a class, finite and >= 0, or None.
        ignore_index: label whose samples count for nothing.
        label_smoothing: in [0, 1].
        reduction: "mean", "sum" or "none"; training takes "mean".
    """

    def __init__(
        self,
        weight: list[float] | Tensor | None = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        options.REDUCTION.check("loss.reduction", reduction)
        plain = weight.tolist() if isinstance(weight, (Tensor, np.ndarray)) else weight
        plain = list(plain) if isinstance(plain, tuple) else plain
        check_all(options.LOSS, "loss", label_smoothing=label_smoothing, ignore_index=ignore_index, weight=plain)
        if plain is not None and not isinstance(weight, Tensor):
            weight = torch.tensor(plain, dtype=torch.float32)
        self.register_buffer("weight", weight, persistent=False)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.reduction = reduction

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Compute :func:`cross_entropy` of logits (N, C) and labels (N,)."""
        return cross_entropy(
            logits,
            labels,
            weight=self.weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction=self.reduction,
        )

    def per_batch(self, logits: Tensor, labels: Tensor) -> Tensor:
        losses, norm, _ = _losses(logits, labels, self.weight, self.ignore_index, self.label_smoothing)
        return losses.sum(dim=-1) / norm

    def measure(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        losses, norm, hits = _losses(logits, labels, self.weight, self.ignore_index, self.label_smoothing)
        return losses.sum(dim=-1) / norm, hits()

    def targets(self, labels: Tensor, classes: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        q, norm = soft_targets(
            labels,
            classes,
            weight=self.weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            dtype=dtype,
        )
        q = q / norm[..., None, None]
        return q, q.sum(dim=-1, keepdim=True)


def gradient_at_logits(logits: Tensor, q: Tensor, a: Tensor) -> Tensor:
    """Compute the gradient a * softmax(logits) - q, all of shape (..., B, C) but a of shape (..., B, 1)."""
    # Torch's softmax is no vector code over a few classes that come last, and over others its bits depend on how
    # many arrays share the threads.
    powers = (logits - logits.amax(dim=-1, keepdim=True)).exp_()
    return powers.mul_(a / powers.sum(dim=-1, keepdim=True)).sub_(q)
