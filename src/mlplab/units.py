"""Numbers with units: "10 MOhm" as a person writes it, and a number as a person reads it.

The lab computes in kOhm, uF, ms, V and mA, which agree without factors (kOhm * uF = ms, kOhm * mA = V), and its
keys end with the unit: ``resistance_kohm``. A value may be a number in that unit or a text with a unit of its own.
"""

import math
import re

from mlplab.rules import Rule

# What a key ends with: the unit's name and the power of ten of the key's own prefix.
SUFFIXES = {"kohm": ("Ohm", 3), "uf": ("F", -6), "ms": ("s", -3), "v": ("V", 0), "ma": ("A", -3), "hz": ("Hz", 0)}
PREFIXES = {"p": -12, "n": -9, "u": -6, "µ": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9}
_EXAMPLES = {"Ohm": "10MOhm", "F": "0.8nF", "s": "5us", "V": "-50mV", "A": "0.2nA", "Hz": "2kHz"}
_TEXT = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([pnuµmkMG]?)(Ohm|ohm|Ω|F|s|V|A|Hz)\s*")
_SHOWN = {"Ohm": "Ω", "u": "µ"}


def parse(text: str, suffix: str) -> float | None:
    """Read a number with a unit, such as "10MOhm" or "-50 mV", in the unit of a key's ``suffix``.

    Returns:
        The number, rounded once; None where the text is no number of that unit.
    """
    match = _TEXT.fullmatch(text)
    name, own = SUFFIXES[suffix]
    if match is None or match[3].replace("ohm", "Ohm").replace("Ω", "Ohm") != name:
        return None
    digits, _, power = match[1].lower().partition("e")
    return float(f"{digits}e{int(power or 0) + PREFIXES[match[2]] - own}")


def quantity(rule: Rule, suffix: str) -> Rule:
    """Allow what a rule for numbers allows, and the same as a text with a unit."""

    def accepts(value: object) -> bool:
        if isinstance(value, str):
            value = parse(value, suffix)
        return value is not None and rule.accepts(value)

    allowed = f"{rule.allowed}, also with a unit as in {_EXAMPLES[SUFFIXES[suffix][0]]}"
    return Rule(allowed, accepts, (*(v for v in rule.wrong if v is not None), "3 miles", "1e3"), rule.names)


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
    import numpy as np

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
