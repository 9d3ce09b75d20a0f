"""Numbers with units as a person reads them, each in a unit that fits it; how they are typed: :func:`mlplab.rules.parse`."""

import math

import numpy as np

from mlplab.rules import PREFIXES, SUFFIXES, parse

_SHOWN = {"Ohm": "Ω", "u": "µ"}


def in_lab_units(node: object, key: str = "") -> object:
    """Return a plain config in which every text with a unit, under a key that ends with one, is a number."""
    if isinstance(node, dict):
        return {name: in_lab_units(value, str(name)) for name, value in node.items()}
    if isinstance(node, list | tuple):
        return [in_lab_units(value, key) for value in node]
    suffix = key.rpartition("_")[2]
    if isinstance(node, str) and suffix in SUFFIXES:
        number = parse(node, suffix)
        return node if number is None else number
    return node


def scale_of(values: object, suffix: str) -> tuple[float, str]:
    """Choose a unit for values of one axis: the factor from the lab's unit, and the unit's name.

    The largest finite magnitude then lies between 1 and 1000 where a prefix from p to G allows it. Values not far from
    the lab's own unit keep it, so that one neuron is not shown in three: from 0.01 up to 1000, volts from 0.2 up.
    """
    finite = np.abs(np.asarray(values, dtype=float))
    finite = finite[np.isfinite(finite)]
    largest = float(finite.max(initial=0.0))
    name, own = SUFFIXES[suffix]
    power = own
    if largest > 0 and not (0.2 if name == "V" else 0.01) <= largest < 1000:
        power = 3 * math.floor((math.log10(largest) + own + 1e-9) / 3)
        power = min(max(power, -12), 9)
    prefix = next(p for p, e in PREFIXES.items() if e == power and p != "µ")
    return 10.0 ** (own - power), _SHOWN.get(prefix, prefix) + _SHOWN.get(name, name)


def say(value: float, suffix: str, digits: int = 4) -> str:
    """Write one value with a fitting unit, such as "0.2 nA"; infinity as ∞ in the lab's own unit."""
    factor, unit = scale_of(value, suffix)
    return f"{'∞' if math.isinf(value) else f'{value * factor:.{digits}g}'} {unit}"
