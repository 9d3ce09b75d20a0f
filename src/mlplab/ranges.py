"""Numbers that a person gave: the range check and its one-line message."""

import math
from numbers import Integral, Real

from mlplab.errors import InputError


def require_integer(key: str, value: object, low: int, high: int | None = None) -> int:
    """Return `value` as an int, or say in one line what `key` allows.

    Args:
        key: what the person typed, such as ``data.arms``.
        value: what was given; a bool is no integer here.
        low: smallest allowed value.
        high: largest allowed value, None for no limit.

    Raises:
        InputError: if `value` is no integer in [low, high].
    """
    allowed = f">= {low}" if high is None else f"from {low} to {high}"
    integer = isinstance(value, Integral) and not isinstance(value, bool)
    if not integer or value < low or (high is not None and value > high):
        raise InputError(f"{key} must be an integer {allowed}, got {value!r}")
    return int(value)


def require_flag(key: str, value: object) -> bool:
    """Return `value`, or raise `InputError` if it is neither True nor False."""
    if not isinstance(value, bool):
        raise InputError(f"{key} must be true or false, got {value!r}")
    return value


def require_number(
    key: str, value: object, low: float = -math.inf, high: float = math.inf, *, below: float = math.inf
) -> float:
    """Return `value` as a float, or say in one line what `key` allows.

    Args:
        key: what the person typed, such as ``data.noise``.
        value: what was given; a bool is no number here.
        low, high: smallest and largest allowed value.
        below: a bound that the value must stay under.

    Raises:
        InputError: if `value` is no finite number in the range.
    """
    bounds = ((">=", low), ("<=", high), ("<", below))
    limits = [f"{sign} {limit:g}" for sign, limit in bounds if math.isfinite(limit)]
    allowed = "a number " + " and ".join(limits) if limits else "a finite number"
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high or not value < below:
        raise InputError(f"{key} must be {allowed}, got {value!r}")
    return float(value)
