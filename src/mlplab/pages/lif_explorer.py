"""The explorer of the LIF neuron: one self-contained page to turn R, tau_ref, C and the current by hand."""

import json
import math
from importlib.resources import files

from mlplab.errors import InputError

# What the page's sliders and fields can show; it clamps to the same bounds.
BOUNDS = {"R": (0.5, math.inf), "tau": (0.0, 100.0), "C": (1.0, 100.0), "I": (-0.5, 2.0)}


def lif_explorer(
    *,
    resistance_kohm: float = 1.0,
    tau_ref_ms: float = 1.0,
    capacitance_uf: float = 10.0,
    current_ma: float = 1.5,
) -> str:
    """Return the page as HTML that starts with the given neuron and current; Vth = 1 V, reset at 0.

    Args:
        resistance_kohm: from 0.5 to infinity.
        tau_ref_ms: from 0 to 100.
        capacitance_uf: from 1 to 100.
        current_ma: from -0.5 to 2.

    Raises:
        InputError: for a value that the page cannot show.
    """
    start = {"R": resistance_kohm, "tau": tau_ref_ms, "C": capacitance_uf, "I": current_ma}
    for key, value in start.items():
        low, high = BOUNDS[key]
        if not low <= value <= high:
            raise InputError(f"the explorer shows {key} from {low:g} to {high:g}, got {value}")
    page = files("mlplab.pages").joinpath("lif_explorer.html").read_text(encoding="utf-8")
    # JSON calls infinity Infinity, as JavaScript does.
    state = json.dumps({**start, "dt": 1, "euler": 1, "zoom": 0, "theme": "", "pins": []})
    head, rest = page.split("/*START*/", 1)
    return head + state + rest.split("/*END*/", 1)[1]
