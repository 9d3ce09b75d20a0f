"""How the property tests draw: the same few examples each time, kept nowhere; MLPLAB_EXAMPLES=1000 draws so many anew."""

import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

MANY = os.environ.get("MLPLAB_EXAMPLES")
FEW = settings(
    derandomize=not MANY,
    max_examples=int(MANY or 30),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# What the library keeps between calls, such as a table of Unicode, stands where nobody looks.
set_hypothesis_home_dir(Path(tempfile.gettempdir()) / f"hypothesis-{os.getuid()}")
SEEDS = st.integers(0, 2**31 - 1)


def reals(low: float, high: float) -> st.SearchStrategy[float]:
    """Draw finite float64 from low to high."""
    return st.floats(low, high, allow_nan=False, allow_infinity=False)


# What a person may write into a file: any text without the halves of a pair, which UTF-8 cannot hold.
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
