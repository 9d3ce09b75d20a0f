"""What a search may vary, as dimensions."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override, RangeSweep, Sweep, Transformer
from omegaconf import DictConfig, OmegaConf

from mlplab.errors import InputError
from mlplab.runs.identity import Role, override_role

# Of a range of real numbers: its values are counted one by one.
MOST_VALUES = 1_000_000


@dataclass(frozen=True)
class Dimension:
    """One key of a search.

    Attributes:
        key: as typed, such as ``model.width``; of a config group its name, such as ``optimizer``.
        text: the override as typed.
        kind: "choice", "whole" (numbers) or "real".
        options: of a choice, as Hydra writes them.
        low: the least value, of numbers.
        high: the greatest value; it can be taken.
        step: between values of a range, counted from ``low``; None for an interval of real numbers.
        log: look at orders of magnitude.
    """

    key: str
    text: str
    kind: str
    options: tuple[str, ...] = ()
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False

    @property
    def count(self) -> int | None:
        """The number of values, or None for an interval."""
        if self.kind == "choice":
            return len(self.options)
        if self.step is None:
            return None
        if self.kind == "whole":  # exactly, however many
            return (self.high - self.low) // self.step + 1
        return round((self.high - self.low) / self.step) + 1

    def value(self, index: int) -> Any:
        """Give the value of a number in 0..count-1."""
        if self.kind == "choice":
            return self.options[index]
        value = self.low + index * self.step
        return value if self.kind == "whole" else float(f"{value:.12g}")

    def ends(self) -> list[str]:
        """Give the overrides to look at before anything runs: every option, or least and greatest number."""
        values = self.options if self.kind == "choice" else dict.fromkeys((self.low, self.high))
        return [self.override(value) for value in values]

    def override(self, value: Any) -> str:
        """Write a value as an override."""
        if self.kind == "real" and self.step is not None:  # without what repeated addition leaves behind
            value = self.value(round((value - self.low) / self.step))
        return f"{self.key}={value if isinstance(value, str) else repr(value)}"

    def suggest(self, trial: Any) -> Any:
        """Ask one of Optuna's trials for a value."""
        if self.kind == "choice":
            return trial.suggest_categorical(self.key, self.options)
        if self.kind == "whole":
            return trial.suggest_int(self.key, self.low, self.high, step=self.step, log=self.log)
        return trial.suggest_float(self.key, self.low, self.high, step=self.step, log=self.log)

    def distribution(self) -> Any:
        """Give Optuna's word for the dimension, as :meth:`suggest` has it."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.kind == "choice":
            return CategoricalDistribution(self.options)
        form = IntDistribution if self.kind == "whole" else FloatDistribution
        return form(self.low, self.high, step=self.step, log=self.log)


def read_space(
    overrides: Sequence[str], base: DictConfig, group_options: Callable[[str], list[str]]
) -> tuple[list[Dimension], list[str]]:
    """Sort overrides into what is searched and what stays.

    Args:
        overrides: of the command line.
        base: the config without them, for the kind of number that a key holds.
        group_options: gives the names in a config group, for ``glob``.

    Returns:
        The dimensions, and the other overrides that a job needs, in the order given.

    Raises:
        InputError: a range is empty, a key appears twice, or nothing is left to search.
    """
    dimensions: dict[str, Dimension] = {}
    fixed: list[str] = []
    keys = [text.partition("=")[0] for text in overrides]
    for text in overrides:
        entry = OverridesParser.create().parse_override(text)
        if not entry.is_sweep_override():
            if Role.OF_CALL not in override_role(text):
                fixed.append(text)
            continue
        dimension = read_dimension(text, entry, OmegaConf.select(base, entry.key_or_group), group_options)
        if keys.count(dimension.key) > 1:
            raise InputError(f"{dimension.key} is searched and must be given once, got {text} and another")
        dimensions[dimension.key] = dimension
    if not dimensions:
        raise InputError(
            "hydra/sweeper=search needs a key to search, such as 'model.width=choice(16,32)', "
            "'model.depth=range(1,5)' or 'optimizer.lr=tag(log, interval(1e-4, 1e-1))', got none"
        )
    return list(dimensions.values()), fixed


def read_dimension(
    text: str, entry: Override, default: Any = None, group_options: Callable[[str], list[str]] | None = None
) -> Dimension:
    """Read one key of a search.

    Args:
        text: the override as typed.
        entry: the same, parsed by Hydra.
        default: what the key holds otherwise: an interval with whole ends is one of whole numbers where this
            is one.
        group_options: gives the names in a config group, for ``glob``.

    Returns:
        The dimension. As Hydra's words say, neither ``range(a, b)`` nor ``interval(a, b)`` takes ``b``.

    Raises:
        InputError: there is no value in it, or its tags do not fit.
    """
    key, sweep = text.partition("=")[0], entry.value()
    tags = getattr(sweep, "tags", set())
    numbers = isinstance(sweep, RangeSweep | IntervalSweep)
    if tags - {"log"} or (tags and not numbers):
        raise InputError(f"{key}: the one tag is log, for a range or an interval, got {text}")
    if isinstance(sweep, IntervalSweep):
        dimension = _interval(key, text, sweep, default)
    elif isinstance(sweep, RangeSweep):
        dimension = _range(key, text, sweep)
    else:
        if entry.is_choice_sweep() and hasattr(sweep, "list"):
            if any(isinstance(option, Sweep | Glob) for option in sweep.list):
                raise InputError(f"{key}: a list of values must hold no range, interval, choice or glob, got {text}")
            options = [Transformer.str(option) for option in sweep.list]
        else:
            options = sweep.filter(group_options(entry.key_or_group) if group_options else [])
        if not options:
            raise InputError(f"{key} must match at least one option, got {text}")
        return Dimension(key, text, "choice", tuple(dict.fromkeys(options)))
    if dimension.log and dimension.low <= 0:
        raise InputError(f"{key}: with the tag log the least value must be above 0, got {text}")
    return dimension


def _interval(key: str, text: str, sweep: IntervalSweep, default: Any) -> Dimension:
    low, high = sweep.start, sweep.end
    if not (low < high and math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"{key}: interval(LOW, HIGH) must have LOW < HIGH, both finite, got {text}")
    log, whole_ends = "log" in sweep.tags, float(low).is_integer() and float(high).is_integer()
    whole_key = isinstance(default, int) and not isinstance(default, bool)
    if isinstance(low, int) or (whole_ends and whole_key):  # int(interval(...)) is Hydra's own way to say it
        return Dimension(key, text, "whole", low=int(low), high=int(high) - 1, step=1, log=log)
    return Dimension(key, text, "real", low=low, high=math.nextafter(high, low), log=log)


def _range(key: str, text: str, sweep: RangeSweep) -> Dimension:
    log = "log" in sweep.tags
    ends = (sweep.start, sweep.stop, sweep.step)
    if sweep.step == 0 or not all(math.isfinite(end) for end in ends):
        raise InputError(f"{key}: a range must have finite ends and a step other than 0, got {text}")
    whole = all(isinstance(end, int) for end in ends)
    if not whole and abs(sweep.stop - sweep.start) / abs(sweep.step) > MOST_VALUES:
        raise InputError(f"{key}: a range must have at most {MOST_VALUES:,} values, got {text}")
    values = sweep.range() if whole else list(sweep.range())
    if not values:  # its len could be more than Python counts
        raise InputError(f"{key}: range(START, STOP) holds no value, since STOP itself is left out, got {text}")
    low, high = min(values[0], values[-1]), max(values[0], values[-1])
    if log and (not whole or abs(sweep.step) != 1):
        raise InputError(f"{key}: a range with the tag log must be one of whole numbers with step 1, got {text}")
    if whole:
        return Dimension(key, text, "whole", low=low, high=high, step=abs(sweep.step), log=log)
    return Dimension(key, text, "real", low=low, high=high, step=abs(float(sweep.step)))
