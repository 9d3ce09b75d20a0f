"""The LIF neuron against its targets and peers: counts, steps, spike times, page, networks."""

import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import brentq

from mlplab.benchmarks.benchmark import Row, in_turn, installed, row
from mlplab.benchmarks.lif_peers import c_loop, numba_loop, numpy_loop, tutorial_counts
from mlplab.config.composition import compose
from mlplab.pages.lif_explorer import lif_explorer
from mlplab.studies.lif.currents import Constant, WhiteNoise
from mlplab.studies.lif.grid import spike_count
from mlplab.studies.lif.neuron import Neuron
from mlplab.studies.lif.noise_rate import white_noise_rate_hz
from mlplab.studies.lif.simulation import simulate

NEURONS, STEPS, DT_MS = 1_000_000, 1000, 1.0
NEURON = Neuron(tau_ref_ms=1.0)
ACTIVATION_SEEDS = range(8)


def rows(repeats: int, logs: Path) -> Iterator[Row]:
    """Yield the rows of the benchmark ``lif``."""
    torch.set_num_threads(1)
    yield from million_rows(repeats)
    yield from explorer_rows(repeats)
    yield from exactness_rows()
    yield from noise_rows()
    yield from page_rows()
    yield from network_rows()
    yield from activation_rows()


class Reread:
    """Give a constant current as if it were new in every step, from memory that is read again."""

    def __init__(self, current: np.ndarray) -> None:
        self.rows = np.tile(current, (32, 1))

    def block(self, start: int, stop: int) -> np.ndarray:
        return self.rows[: stop - start]


def million_rows(repeats: int) -> Iterator[Row]:
    """Time 1,000,000 neurons x 1000 steps in CPU seconds, and compare every count with the closed form."""
    current = np.linspace(0.0, 2.0, NEURONS)
    counts: dict[str, np.ndarray] = {}

    def keep(name, work):
        def run():
            counts[name] = work()

        return run

    options = {"steps": STEPS, "dt_ms": DT_MS}
    reread = Reread(current)
    systems = {
        "closed form": lambda: spike_count(NEURON, current, **options),
        "stepped, constant input": lambda: simulate(NEURON, Constant(current), **options).count,
        "stepped, input new in each step": lambda: simulate(NEURON, reread, **options).count,
    }
    loop = c_loop(STEPS)
    if loop is not None:
        systems["C loop, gcc -O3"] = lambda: loop(current)
    if installed("numba"):
        systems["numba, compiled before"] = numba_loop(current, STEPS)
    taken = in_turn({name: keep(name, work) for name, work in systems.items()}, repeats, cpu=True)
    # Too slow to be repeated.
    start = time.process_time()
    counts["numpy, whole arrays"] = numpy_loop(current, STEPS)
    taken["numpy, whole arrays"] = time.process_time() - start
    work = "1,000,000 neurons x 1000 steps"
    closed = taken["closed form"]
    slowest_ratio = min(seconds for name, seconds in taken.items() if name != "closed form") / closed
    target, ok = "at most 0.1 s, 10x faster than every simulator", closed <= 0.1 and slowest_ratio >= 10
    yield row(work, "closed form", closed, ratio=1.0, target=target, ok=ok, value=slowest_ratio)
    for name, seconds in taken.items():
        if name == "closed form":
            continue
        differing = int((counts[name] != counts["closed form"]).sum())
        aim = {"target": "at most 2.0 s", "ok": seconds <= 2.0} if name.startswith("stepped") else {}
        system = f"{name} ({differing} counts differ)"
        yield row(work, system, seconds, ratio=seconds / closed, differing=differing, **aim)


def explorer_rows(repeats: int) -> Iterator[Row]:
    """Time one move of a slider of the tutorial's explorer: ten currents, a second, steps of 1 ms."""
    ten = np.linspace(0.0, 2.0, 10)

    def moves():
        for _ in range(100):
            spike_count(NEURON, ten, steps=1000, dt_ms=1.0)

    seconds = in_turn({"lab": moves}, repeats)["lab"] / 100
    start = time.perf_counter()
    counts = tutorial_counts()
    slow = time.perf_counter() - start
    equal = counts == spike_count(NEURON, ten, steps=1000, dt_ms=1.0).tolist()
    work = "one slider move, 10 currents, T = 1000 ms"
    yield row(work, "closed form", seconds, ratio=1.0, target="at most 0.001 s", ok=seconds <= 1e-3)
    yield row(work, f"the tutorial's loop ({'equal' if equal else 'OTHER'} counts)", slow, ratio=slow / seconds)


def exactness_rows() -> Iterator[Row]:
    """Hold first spike times of the exact method against a root-finder in float64."""
    rng = np.random.default_rng(0)
    worst = 0.0
    start = time.perf_counter()
    for _ in range(300):
        r, c = 10 ** rng.uniform(-1, 2), 10 ** rng.uniform(0, 1.5)
        current = (1.0 + 10 ** rng.uniform(-3, 1)) / r
        root = brentq(lambda t: -r * current * np.expm1(-t / (r * c)) - 1.0, 0.0, 40 * r * c, xtol=1e-300, rtol=1e-15)
        neuron = Neuron(resistance_kohm=r, capacitance_uf=c, tau_ref_ms=1.0)
        steps = 20
        run = simulate(neuron, Constant(current), steps=steps, dt_ms=1.01 * root / steps, method="exact", spikes=True)
        worst = max(worst, abs(run.spike_times_ms[0] / root - 1.0))
    found = {"ok": bool(worst <= 1e-9), "value": float(worst), "shown": f"{worst:.1e} relative"}
    work, seconds = "spike times against a root-finder", time.perf_counter() - start
    yield row(work, "exact method, 300 neurons", seconds, target="1e-9 relative", **found)


def noise_rows() -> Iterator[Row]:
    """Hold the exact rate under white noise against quadrature in 50 digits, and a simulation against it."""
    rng, worst, start = np.random.default_rng(1), 0.0, time.perf_counter()
    if installed("mpmath"):
        import mpmath

        with mpmath.workdps(50):
            for _ in range(20):
                noise, mean = 10 ** rng.uniform(-0.7, 0.7), rng.uniform(-0.5, 3.0)
                a, b = (mpmath.mpf(v - mean) / mpmath.mpf(noise) * mpmath.sqrt(10) for v in (0.0, 1.0))
                points = sorted({a, b, *(p for p in (-10, -3, 0, 3) if a < p < b)})
                whole = mpmath.quad(lambda u: mpmath.exp(u**2) * mpmath.erfc(-u), points)
                truth = 1000 / (1 + 10 * mpmath.sqrt(mpmath.pi) * whole)
                worst = max(worst, float(abs(white_noise_rate_hz(NEURON, mean, noise) / truth - 1)))
        yield row(
            "rate under white noise against quadrature in 50 digits",
            "20 currents and noises",
            time.perf_counter() - start,
            target="1e-10 relative",
            ok=worst <= 1e-10,
            value=worst,
            shown=f"{worst:.1e} relative",
        )
    start = time.process_time()
    current = WhiteNoise(dt_ms=0.1, neurons=1000, seed=1, mean_ma=0.9, intensity_ma_sqrt_ms=1.34)
    begun = simulate(NEURON, current, steps=1000, dt_ms=0.1, method="exact")
    run = simulate(NEURON, current, steps=10_000, dt_ms=0.1, method="exact", state=begun.state)
    known = float(white_noise_rate_hz(NEURON, 0.9, 1.34, 0.1))
    mean, error = float(run.count.mean()), float(run.count.std() / np.sqrt(run.count.size))
    yield row(
        "a second of 1000 noisy neurons in steps of 0.1 ms",
        "exact method",
        time.process_time() - start,
        target="within 3 standard errors",
        ok=abs(mean - known) <= 3 * error,
        value=(mean - known) / error,
        shown=f"{mean:.2f} ± {error:.2f} Hz, known {known:.2f}",
    )


def page_rows() -> Iterator[Row]:
    """Time one redraw of the explorer page in a headless browser: the median of 60 moves."""
    work, target = "the explorer page, one redraw", "under 0.016 s"
    browser = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if browser is None:
        yield row(work, "headless browser", None, target=target, note="no chromium installed")
        return
    measure = """<script>
    const page = document.documentElement.dataset
    const once = k => { set({R: 1 + k / 3, I: 1 + k / 100}); return +page.redrawMs }
    const taken = [...Array(60).keys()].map(once)
    document.title = 'median ' + taken.sort((a, b) => a - b)[30]</script></body>"""
    page = lif_explorer().replace("</body>", measure)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        path.write_text(page, encoding="utf-8")
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={folder}/profile",
            "--dump-dom",
        ]
        done = subprocess.run([browser, *flags, path.as_uri()], capture_output=True, text=True, timeout=60)
    found = re.search(r"<title>median ([0-9.]+)</title>", done.stdout)
    if found is None:
        yield row(work, "headless browser", None, target=target, note="the browser gave no answer")
        return
    seconds = float(found[1]) / 1000
    yield row(work, "headless browser, median of 60", seconds, target=target, ok=seconds < 0.016)


def network_rows() -> Iterator[Row]:
    """Train the default run and hold its spiking twin against it after 500 ms."""
    from mlplab.studies.lif.spiking_networks import load_run, over_time
    from mlplab.training.fit import fit

    with tempfile.TemporaryDirectory() as folder:
        fit(compose("train", ["trainer=cpu", "logger=none", "figures=none", "callbacks.decision_maps=null"]), folder)
        trained = load_run(folder)
    options = {"duration_ms": 500.0, "dt_ms": 1.0, "max_rate_hz": 200.0, "start_fraction": 0.5}
    start = time.process_time()
    found = over_time(trained, Neuron(resistance_kohm=np.inf, tau_ref_ms=0.0), options)
    seconds = time.process_time() - start
    gap = 100 * abs(found["final_accuracy"] - found["relu_accuracy"])
    shown = f"{gap:.2f} points ({100 * found['final_accuracy']:.2f} against {100 * found['relu_accuracy']:.2f} %)"
    found = {"ok": bool(gap <= 0.5), "value": float(gap), "shown": shown}
    work = "spiking network against its ReLU network, 500 ms"
    yield row(work, "800 test points", seconds, target="within 0.5 points", **found)


def activation_rows() -> Iterator[Row]:
    """Train the default run with the LIF rate and with the ReLU, over seeds; accuracy on fresh points."""
    from mlplab.training.fit import fit_members

    for name in ("relu", "lif_rate"):
        quiet = ["trainer=cpu", "logger=none", "figures=none", "callbacks.decision_maps=null"]
        configs = [compose("train", [f"model.activation={name}", f"seed={s}", *quiet]) for s in ACTIVATION_SEEDS]
        start = time.perf_counter()
        results = fit_members(configs, [None] * len(configs))
        seconds = (time.perf_counter() - start) / len(configs)
        values = [100 * result["fresh"]["accuracy"] for result in results]
        shown = f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f} % ({seconds:.1f} s a seed)"
        yield row("default run by activation, fresh accuracy", f"{name}, {len(values)} seeds", seconds, shown=shown)
