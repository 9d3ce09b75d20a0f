"""The scale of a neuron: which times and currents are neither small nor large for it.

Every axis, time step and noise of a picture, and every input that is not given, is made from these. For the tutorial's
neuron (1 kOhm, 10 uF, threshold 1 V) they are its own round numbers: 10 ms, 1 mA, currents from -0.5 to 2 mA.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlplab.errors import InputError
from mlplab.studies.lif.neuron import MS_PER_S, Neuron, threshold_current_ma
from mlplab.studies.lif.units import in_lab_units, say

# A neuron whose leak is slower than this and than its refractory time is driven by larger currents than its leak's.
SLOWEST_MS = 10.0


def one_neuron(neuron: Neuron) -> Neuron:
    """Return the first neuron of a batch."""
    return Neuron(**{name: float(np.asarray(getattr(neuron, name)).flat[0]) for name in Neuron.__dataclass_fields__})


def changed(neuron: Neuron, **values: Any) -> Neuron:
    """Return the neuron with other values of some parameters."""
    return Neuron(**{name: getattr(neuron, name) for name in Neuron.__dataclass_fields__} | values)


@dataclass(frozen=True)
class Scale:
    """Hold the times and currents that belong to one neuron.

    Attributes:
        time_ms: R C, or where that is longer, the longer of 10 ms and the refractory time.
        current_ma: what charges the membrane from reset to threshold in that time if nothing leaks.
        from_ma: the current that holds the membrane at its reset; zero without a leak.
        threshold_ma: the current above which it fires.
        gap_v: the way from reset to threshold.
        kohm: time_ms / C, a resistance.
    """

    time_ms: float
    current_ma: float
    from_ma: float
    threshold_ma: float
    gap_v: float
    kohm: float

    def at(self, part: float) -> float:
        """Return the current that lies so many of `current_ma` above `from_ma`."""
        return self.from_ma + part * self.current_ma

    @property
    def axis_ma(self) -> tuple[float, float]:
        """Return the ends of a current axis; zero, where the ReLU bends, is on it unless it is far away."""
        low, high = self.at(-0.5), self.at(2.0)
        if abs(self.from_ma) <= 5 * self.current_ma:
            return min(low, -0.5 * self.current_ma), max(high, 0.5 * self.current_ma)
        return low, high

    @property
    def point_ma(self) -> float:
        """Return a current at which it fires at a middling rate."""
        return self.at(1.5)

    @property
    def count_dt_ms(self) -> float:
        """Return the step of the spike counts in the pictures: a tenth of `time_ms`, rounded down to 1, 2 or 5."""
        step = self.time_ms / 10 * (1 + 1e-12)
        power = 10.0 ** np.floor(np.log10(step))
        return float(f"{max(d for d in (1, 2, 5) if d * power <= step) * power:.3g}")

    @property
    def count_ma(self) -> np.ndarray:
        """Return the ten currents of the spike counts in the pictures: evenly spaced up to the axis's end."""
        low, high = self.axis_ma
        return np.linspace(min(max(low, 0.0), self.from_ma), high, 10)


def scale_of(neuron: Neuron) -> Scale:
    """Return the scale of the first neuron of a batch."""
    neuron = one_neuron(neuron)
    slow = max(SLOWEST_MS, float(neuron.tau_ref_ms))
    leaky = np.isfinite(neuron.resistance_kohm)
    time = min(float(neuron.time_constant_ms), slow) if leaky else slow
    gap, capacitance = float(neuron.gap_v), float(neuron.capacitance_uf)
    return Scale(
        time_ms=time,
        current_ma=capacitance * gap / time,
        from_ma=float(neuron.reset_ma),
        threshold_ma=float(threshold_current_ma(neuron)),
        gap_v=gap,
        kohm=time / capacitance,
    )


def white_noise(neuron: Neuron) -> dict[str, float]:
    """Return mean and intensity of a white noise that suits the neuron: it fires, though the mean alone is too little.

    The mean is a tenth of the gap below the threshold, and a free membrane would vary by 0.3 of the gap. Without a
    leak no mean above zero is too little: half of the unit current, with intervals that vary by half of themselves.
    """
    neuron, scale = one_neuron(neuron), scale_of(neuron)
    capacitance = float(neuron.capacitance_uf)
    if np.isinf(neuron.resistance_kohm):
        mean = 0.5 * scale.current_ma
        return {"mean_ma": mean, "intensity_ma_sqrt_ms": 0.5 * np.sqrt(mean * capacitance * scale.gap_v)}
    gap_ma = scale.gap_v / float(neuron.resistance_kohm)
    deviation_ma = 0.3 * gap_ma
    return {
        "mean_ma": scale.threshold_ma - 0.1 * gap_ma,
        "intensity_ma_sqrt_ms": deviation_ma * np.sqrt(2.0 * float(neuron.time_constant_ms)),
    }


def with_numbers(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a study with numbers for texts with units, and for what is left to the neuron.

    A null in `input` and `explorer.current_ma` becomes what suits the neuron.

    Raises:
        InputError: the explorer's current lies beyond its axis.
    """
    from omegaconf import OmegaConf

    from mlplab.studies.recording import build

    plain = OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else dict(config)
    plain = in_lab_units(plain)
    neuron = build(plain["neuron"], "neuron")
    scale = scale_of(neuron)
    for key, value in plain.get("input", {}).items():
        if value is None:
            plain["input"][key] = _suiting(plain["input"], key, neuron, scale)
    if "explorer" in plain:
        low, high = scale.axis_ma
        point = plain["explorer"]["current_ma"]
        plain["explorer"]["current_ma"] = point = scale.point_ma if point is None else point
        if not low <= point <= high:
            raise InputError(
                f"explorer.current_ma must be from {say(low, 'ma')} to {say(high, 'ma')} for this neuron, "
                f"got {say(point, 'ma')}"
            )
    return plain


def _suiting(given: Mapping[str, Any], key: str, neuron: Neuron, scale: Scale) -> float:
    """Return a value of an input that suits the neuron; the tutorial's neuron gets 1.5, 2, 1.2, 0.5 and 0.9 mA."""
    name = given["_target_"].rpartition(".")[2]
    if name == "WhiteNoise":
        return float(white_noise(neuron)[key])
    if name == "Poisson":  # so that the mean is the unit current above the reset's
        mean = given["synapses"] * given["rate_hz"] / MS_PER_S * given["tau_ms"]
        return scale.at(1.0) / mean if mean else scale.current_ma
    parts = {"current_ma": 1.5, "after_ma": 1.5, "to_ma": 2.0, "from_ma": 0.0}
    if name == "Sine":
        parts["mean_ma"] = 1.2
    if key in parts:
        return scale.at(parts[key])
    if key == "mean_ma":
        return scale.at(0.9)
    if key == "before_ma":
        return scale.from_ma
    return 0.5 * scale.current_ma  # amplitude_ma, std_ma
