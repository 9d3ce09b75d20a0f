"""Approximation by ReLUs against its reference values, and against pwlf where that is installed."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mlplab.benchmarks.benchmark import Row, in_turn, installed, row
from mlplab.studies.relu.knots import uniform
from mlplab.studies.relu.least_squares import least_squares
from mlplab.studies.relu.minimax import minimax, smooth_level
from mlplab.studies.relu.sampling import errors, sample
from mlplab.studies.relu.sawtooth import square
from mlplab.studies.relu.targets import TARGETS, Target, make_points, make_target

# Target, n, and the largest error that SPEC's table gives for minimax.
TABLE = [
    ("sin", 9, 1.604e-2),
    ("sin", 64, 3.566e-4),
    ("sin", 256, 2.201e-5),
    ("x2", 9, 1.5434e-3),
    ("exp", 9, 1.2995e-3),
    ("sqrt", 9, 2.778e-3),
    ("sqrt", 256, 3.80e-6),
    ("runge", 9, 1.238e-2),
    ("runge", 256, 1.524e-5),
]
SMOOTH = ("sin", "cos", "exp", "x2", "sqrt", "runge", "step", "cubic")
PWLF_BEST_RMS = 0.009456
# The campaign: every target on every interval, its own the first, at every n.
INTERVALS = [
    (None, None),
    (-np.pi, np.pi),
    (0, 6 * np.pi),
    (-3.5, 3.5),
    (0, 1),
    (0.1, 0.7),
    (-1, 2),
    (1e-3, 1e-2),
    (0.3, 5.0),
    (-0.5, 0.5),
    (0, 10),
    (100, 101),
]
WIDTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 16, 20, 25, 32)


def rows(repeats: int, logs: Path) -> Iterator[Row]:
    """Give the rows of ``benchmark relu``: errors beside their targets, then seconds of the processor."""
    for name, n, most in TABLE:
        begin = time.process_time()
        found = minimax(make_target(name), n)
        seconds = time.process_time() - begin
        good = found.level <= most and found.lower_bound >= 0.99 * found.level
        work = f"minimax {name}, n = {n}: largest error {found.level:.4e}, certified {found.lower_bound:.4e}"
        yield row(work, "mlplab", seconds, ratio=found.level / most, target=f"error <= {most:g}", ok=good)
    for name in SMOOTH:
        found, law = minimax(make_target(name), 256), smooth_level(sample(make_target(name), 20_000), 256)
        work, ratio = f"minimax {name}, n = 256, against the asymptotic {law:.4e}", found.level / law
        yield row(work, "mlplab", None, ratio=ratio, target="ratio within 1 %", ok=abs(ratio - 1) <= 0.01)
    sine = make_target("sin")
    taken = in_turn({"minimax": lambda: minimax(sine, 256)}, repeats, cpu=True)["minimax"]
    yield row("minimax sin, n = 256", "mlplab", taken, target="< 0.3 s", ok=taken < 0.3)
    for name in ("sin", "sqrt"):
        begin = time.process_time()
        found = minimax(make_target(name), 10_000)
        taken = time.process_time() - begin
        work = f"minimax {name}, n = 10,000: within {found.level / found.lower_bound - 1:.1e} of the bound"
        yield row(work, "mlplab", taken, target="< 10 s", ok=taken < 10)
    yield from _pwlf(repeats)
    yield from _rounding()
    yield _campaign()


def campaign_targets() -> Iterator[Target]:
    """Give every target on every interval on which it is defined."""
    for name, (low, high) in itertools.product(TARGETS, INTERVALS):
        if name != "sqrt" or low is None or low >= 0:
            yield make_target(name, low, high)


def _campaign() -> Row:
    """Fit minimax in every case of the campaign: no crash, and the bound within 0.1 % of the error."""
    begin, tried, crashed, apart = time.process_time(), 0, 0, 0
    for target, n in itertools.product(campaign_targets(), WIDTHS):
        tried += 1
        try:
            found = minimax(target, n)
        except Exception:  # whatever it is, it is a case that failed
            crashed += 1
            continue
        size = max(1.0, abs(float(target(target.low))), abs(float(target(target.high))))
        apart += found.level > 1.001 * found.lower_bound + 1e-12 * size
    work = f"minimax in {tried:,} cases of target, interval and n: {crashed} crashed, {apart} with a gap over 0.1 %"
    return row(work, "mlplab", time.process_time() - begin, target="0 and 0", ok=not crashed and not apart, tried=tried)


def _rounding() -> Iterator[Row]:
    """Hold a construction and a network in float32 against what rounding allows."""
    worst = 0.0
    for m in range(1, 11):
        x = np.arange(2 ** (m + 1) + 1) / 2 ** (m + 1)
        worst = max(worst, abs(np.abs(square(m)(x) - x * x).max() * 2.0 ** (2 * m + 2) - 1))
    work = f"Yarotsky x², m = 1..10: error * 2^(2m+2) off from 1 by {worst:.1e}"
    yield row(work, "mlplab", None, target="to rounding", ok=worst < 1e-12)
    sine = make_target("sin")
    fit = uniform(sine, 10_000)
    x = np.linspace(sine.low, sine.high, 2001).astype(np.float32)
    right = fit(x.astype(np.float64))
    ulp = float(np.spacing(np.float32(np.abs(right).max())))
    off, plain = np.abs(fit(x) - right).max() / ulp, np.abs(fit.plain(x) - right).max() / ulp
    work = f"float32 at n = 10,000: {off:.2f} ulp by segment, {plain:.0f} ulp as a plain sum"
    yield row(work, "mlplab", None, ratio=off, target="<= 4 ulp", ok=bool(off <= 4))


def _pwlf(repeats: int) -> Iterator[Row]:
    sine, x = make_target("sin"), np.linspace(0, 2 * np.pi, 200)
    points = make_points(x, np.sin(x))
    systems = {
        "mlplab, the function": lambda: least_squares(sine, 9),
        "mlplab, 200 points": lambda: least_squares(points, 9),
    }
    if installed("pwlf"):
        import pwlf

        systems["pwlf fitfast, 200 points"] = lambda: pwlf.PiecewiseLinFit(x, np.sin(x), seed=0).fitfast(9)
    taken = in_turn(systems, repeats, cpu=True)
    grid = sample(sine, 512).x
    rms = {name: errors(target, systems[name](), grid)[1] for name, target in zip(systems, (sine, points))}
    for name, value in rms.items():
        # pwlf's fit, which reaches that RMS, was stopped after 120 s.
        target, ok = f"RMS <= {PWLF_BEST_RMS}, 100 x pwlf's fit", value <= PWLF_BEST_RMS + 1e-6 and taken[name] < 1.2
        work = f"least squares sin, n = 9: RMS {value:.6f}"
        yield row(work, name, taken[name], ratio=120 / taken[name], target=target, ok=bool(ok))
    work, peer = "least squares sin, n = 9", "pwlf fitfast, 200 points"
    if peer in taken:
        yield row(work, peer, taken[peer], ratio=taken[peer] / taken["mlplab, 200 points"])
    else:
        yield row(work, "pwlf", None, note="not installed")
