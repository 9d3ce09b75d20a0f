"""What a value may be, said once: the check and the words of the error.

A number may be given with a unit, as in "10 MOhm": the lab computes in kOhm, uF, ms, V and mA, which agree without factors
(kOhm * uF = ms, kOhm * mA = V), and its keys end with the unit, as ``resistance_kohm``.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from mlplab.errors import InputError


@dataclass(frozen=True)
class Rule:
    """One rule for one value.

    Attributes:
        allowed: what is allowed, in words that follow "must be".
        accepts: tells whether a plain value (no OmegaConf node) is allowed.
        names: the allowed names where the value is a choice, for a near match.
        plain: turns an allowed value into a plain one, such as a NumPy integer into an int.
    """

    allowed: str
    accepts: Callable[[object], bool]
    names: tuple = ()
    plain: Callable[[Any], Any] = lambda value: value

    def check(self, key: str, value: object) -> Any:
        """Give the value, or raise an :class:`InputError` of one line where it is not allowed."""
        if not self.accepts(value):
            raise InputError(f"{key} must be {self.allowed}, got {shown(value)}{near(value, self.names)}")
        return self.plain(value)


def check_all(rules: Mapping[str, Rule], group: str, /, **values: object) -> None:
    """Check values by the rules of their names; ``group`` is the config's, such as ``"model"``."""
    for name, value in values.items():
        rules[name].check(f"{group}.{name}", value)


def shown(value: object) -> str:
    """Write a value in one line of at most 80 characters."""
    text = "null" if value is None else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def near(word: object, names: Iterable[str], prefix: str = "") -> str:
    """Give "; did you mean NAME?" for the name nearest to a word, or nothing."""
    names = [str(name) for name in names]
    swapped = [name for name in names if sorted(name) == sorted(str(word))]  # two letters in each other's place
    found = swapped or difflib.get_close_matches(str(word), names, 1, 0.6)
    return f"; did you mean {prefix}{found[0]}?" if found else ""


def is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _interval(low, high, above, below) -> str:
    if low is not None and high is not None and not above and not below:
        return f"from {low} to {high}"
    parts = []
    if low is not None:
        parts.append(f"{'>' if above else '>='} {low}")
    if high is not None:
        parts.append(f"{'<' if below else '<='} {high}")
    return " and ".join(parts)


def integer(low: int | None = None, high: int | None = None) -> Rule:
    """Allow an integer in [low, high]."""

    def accepts(value: object) -> bool:
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        return whole and (low is None or value >= low) and (high is None or value <= high)

    return Rule(f"an integer {_interval(low, high, False, False)}".rstrip(), accepts, plain=int)


def number(low=None, high=None, *, above: bool = False, below: bool = False) -> Rule:
    """Allow a finite number between low and high; ``above`` and ``below`` leave the ends out."""

    def accepts(value: object) -> bool:
        if not is_number(value):
            return False
        over = low is None or (value > low if above else value >= low)
        under = high is None or (value < high if below else value <= high)
        return over and under

    return Rule(f"a number {_interval(low, high, above, below)}".rstrip(), accepts, plain=float)


def boolean() -> Rule:
    """Allow true or false."""
    return Rule("true or false", lambda value: isinstance(value, bool))


def choice(*names: object) -> Rule:
    """Allow one of some names."""

    def accepts(value: object) -> bool:
        return any(value == name and type(value) is type(name) for name in names)

    allowed = ("one of " if len(names) > 1 else "") + ", ".join(map(str, names))
    return Rule(allowed, accepts, names)


def text(pattern: str = ".+", words: str = "a text") -> Rule:
    """Allow a text that matches a pattern as a whole; ``words`` say so."""

    def accepts(value: object) -> bool:
        return isinstance(value, str) and re.fullmatch(pattern, value, re.DOTALL) is not None

    return Rule(words, accepts)


def null() -> Rule:
    """Allow null alone."""
    return Rule("null", lambda value: value is None)


def either(*rules: Rule) -> Rule:
    """Allow what any of the rules allows."""

    def accepts(value: object) -> bool:
        return any(rule.accepts(value) for rule in rules)

    names = tuple(name for rule in rules for name in rule.names)
    return Rule(", or ".join(rule.allowed for rule in rules), accepts, names)


def mapping() -> Rule:
    """Allow a mapping of keys to whatever: what is in it is somebody else's to check."""
    return Rule("a mapping {key: value}", lambda value: isinstance(value, dict))


def optional(rule: Rule) -> Rule:
    """Allow null and what the rule allows."""
    return either(null(), rule)


def many(rule: Rule, length: int | None = None, least: int = 0) -> Rule:
    """Allow a list whose entries each keep the rule."""

    def accepts(value: object) -> bool:
        if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
            return False
        if len(value) < least or (length is not None and len(value) != length):
            return False
        return all(rule.accepts(entry) for entry in value)

    what = f"a list of {length}" if length is not None else f"a list of {least} or more" if least > 1 else "a list"
    return Rule(f"{what}, each entry {rule.allowed}", accepts)


# What a key ends with: the unit's name and the power of ten of the key's own prefix.
SUFFIXES = {"kohm": ("Ohm", 3), "uf": ("F", -6), "ms": ("s", -3), "v": ("V", 0), "ma": ("A", -3), "hz": ("Hz", 0)}
PREFIXES = {"p": -12, "n": -9, "u": -6, "µ": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9}
_EXAMPLES = {"Ohm": "10MOhm", "F": "0.8nF", "s": "5us", "V": "-50mV", "A": "0.2nA", "Hz": "2kHz"}
_TEXT = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([pnuµmkMG]?)(Ohm|ohm|Ω|F|s|V|A|Hz)\s*")


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
    return Rule(allowed, accepts, rule.names)
