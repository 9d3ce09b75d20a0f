"""The explorer of the LIF neuron: one self-contained page to turn R, tau_ref, C, current and noise by hand."""

import math

import numpy as np
from scipy.special import erfcx

from mlplab.errors import InputError
from mlplab.pages.page import page

_POSITIVE = ("resistance_kohm", "capacitance_uf")
NODES = 64
SERIES = 28


def lif_explorer(
    *,
    resistance_kohm: float = 1.0,
    tau_ref_ms: float = 1.0,
    capacitance_uf: float = 10.0,
    rest_v: float = 0.0,
    threshold_v: float = 1.0,
    reset_v: float = 0.0,
    current_ma: float | None = None,
    intensity_ma_sqrt_ms: float = 0.0,
) -> str:
    """Return the page as HTML that starts with the given neuron; its axes and sliders are made for that neuron.

    Args:
        resistance_kohm, tau_ref_ms, capacitance_uf, rest_v, threshold_v, reset_v: as for the lab's `Neuron`.
        current_ma: the chosen input; None for one at which the neuron fires at a middling rate.
        intensity_ma_sqrt_ms: of white noise on it, >= 0.

    Raises:
        InputError: for a value that no neuron has.
    """
    given = dict(locals())
    for key, value in given.items():
        if value is None:
            continue
        fine = math.isfinite(value) or (key == "resistance_kohm" and value > 0)
        fine &= value > 0 if key in _POSITIVE else value >= 0 or key not in ("tau_ref_ms", "intensity_ma_sqrt_ms")
        if not fine:
            raise InputError(f"the explorer needs a possible {key}, got {value}")
    if not threshold_v > reset_v:
        raise InputError(f"the explorer needs threshold_v above reset_v, got {threshold_v} and {reset_v}")
    start = {
        "R": resistance_kohm,
        "tau": tau_ref_ms,
        "C": capacitance_uf,
        "E": rest_v,
        "Vth": threshold_v,
        "Vr": reset_v,
        "I": current_ma,
        "N": intensity_ma_sqrt_ms,
    }
    start = {key: value for key, value in start.items() if value is not None}
    nodes = np.column_stack(np.polynomial.legendre.leggauss(NODES))
    return page("lif_explorer.html", {"start": start, "erfcx": erfcx_series(), "nodes": nodes})


def erfcx_series() -> np.ndarray:
    """Return Chebyshev coefficients of (1 + 2 x) erfcx(x) in t = (x - 3)/(x + 3), x >= 0, to about 2e-14."""
    return np.polynomial.chebyshev.chebinterpolate(_bounded_erfcx, SERIES)


def _bounded_erfcx(t):
    x = 3.0 * (1.0 + t) / (1.0 - t)
    return erfcx(x) * (1.0 + 2.0 * x)
