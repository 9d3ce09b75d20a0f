"""The long campaign of approximation by ReLUs, a script: python tests/campaign_relu.py [SHARE]

Every target on every interval at every n: no method fails, minimax's bound is within 0.1 % of its error, and the error
that is reported is the one found on a dense grid. Least squares equals brute force at n = 2 and 3. SHARE, an integer,
takes every SHARE-th case; test_relu_campaign.py does.
"""

import itertools
import sys
from collections.abc import Iterator

import numpy as np
from scipy.optimize import minimize

from mlplab.benchmarks.relu import WIDTHS, campaign_targets
from mlplab.studies.relu.greedy import greedy
from mlplab.studies.relu.hats import Moments, fit_at
from mlplab.studies.relu.knots import equidistributed, uniform
from mlplab.studies.relu.least_squares import least_squares
from mlplab.studies.relu.minimax import minimax
from mlplab.studies.relu.sampling import errors, sample
from mlplab.studies.relu.targets import Target, make_points

SLOW_WIDTHS = (1, 2, 3, 5, 9)


def named(target: Target, n: int) -> str:
    return f"{target.name} on [{target.low:g}, {target.high:g}], n = {n}"


def minimax_fault(target: Target, n: int) -> str:
    """Say what is wrong with a minimax fit, or ''."""
    found = minimax(target, n)
    x = np.concatenate([np.linspace(target.low, target.high, 20_011), found.fit.knots])
    eighths = np.arange(np.ceil(target.low * 64), np.floor(target.high * 64) + 1) / 64
    x = np.concatenate([x, eighths[(eighths >= target.low) & (eighths <= target.high)]])
    size = max(1.0, float(np.abs(target(x)).max()))
    measured = float(np.abs(found.fit(x) - target(x)).max())
    if found.fit.n != n:
        return f"{found.fit.n} units"
    if found.lower_bound > found.level:
        return f"the bound {found.lower_bound} is above the error {found.level}"
    if found.level > 1.001 * found.lower_bound + 1e-12 * size:
        return f"the gap is {found.level / max(found.lower_bound, 1e-300) - 1:.2g}"
    # Nobody knows where a fractal's error is largest.
    slack = 1e-3 if target.name == "takagi" else 1e-5
    return f"measured {measured}, said {found.level}" if measured > found.level * (1 + slack) + 1e-12 * size else ""


def method_fault(target: Target, n: int, method) -> str:
    """Say what is wrong with another method's fit, or ''."""
    fit = method(target, n)
    largest, rms = errors(target, fit, np.concatenate([fit.knots, sample(target, 512).x]))
    return "" if fit.n == n and np.isfinite(largest) and rms <= largest * (1 + 1e-9) else f"{fit.n} units, {largest}"


def residual(x: np.ndarray, y: np.ndarray, weight: np.ndarray, knots: np.ndarray) -> float:
    """Return the weighted sum of squares left by the best fit with given knots, by plain linear algebra."""
    basis = np.column_stack([np.ones_like(x), x, *(np.maximum(x - knot, 0) for knot in knots)])
    root = np.sqrt(weight)
    left = root * y - (root[:, None] * basis) @ np.linalg.lstsq(root[:, None] * basis, root * y, rcond=None)[0]
    return float(left @ left)


def brute_force(x: np.ndarray, y: np.ndarray, weight: np.ndarray, n: int, grid: np.ndarray) -> float:
    """Return the least sum of squares over all knots of a grid, the best few refined by Nelder and Mead."""
    x, grid = (x - x[0]) / (x[-1] - x[0]), (grid - x[0]) / (x[-1] - x[0])
    all_knots = np.array(list(itertools.combinations(grid, n - 1)))
    cost = []
    for part in np.array_split(all_knots, max(1, len(all_knots) * x.size // 4_000_000)):
        shape = (len(part), x.size)
        basis = np.stack(
            [np.ones(shape), np.broadcast_to(x, shape), *(np.maximum(x - part[:, [k]], 0) for k in range(n - 1))], 2
        )
        gram = np.einsum("kni,n,knj->kij", basis, weight, basis, optimize=True)
        load = np.einsum("kni,n->ki", basis, weight * y)
        gram += 1e-12 * np.eye(n + 1) * np.trace(gram, axis1=1, axis2=2)[:, None, None]
        cost.append(-np.einsum("ki,ki->k", np.linalg.solve(gram, load[..., None])[..., 0], load))
    picks: list[np.ndarray] = []
    for place in np.argsort(np.concatenate(cost))[:400]:
        if len(picks) < 6 and all(np.abs(all_knots[place] - pick).max() > 0.02 for pick in picks):
            picks.append(all_knots[place])

    def left(knots: np.ndarray) -> float:
        return residual(x, y, weight, np.sort(knots)) if ((knots > 0) & (knots < 1)).all() else np.inf

    options = {"xatol": 1e-9, "fatol": 0, "maxiter": 400}
    return min(min(minimize(left, pick, method="Nelder-Mead", options=options).fun, left(pick)) for pick in picks)


def points_fault(seed: int, n: int) -> str:
    """Compare least squares with brute force on random points, some of them weighted."""
    draw = np.random.default_rng(seed)
    count = int(draw.integers(6, 40))
    x, noise = np.sort(draw.uniform(0, 1, count)), draw.normal(size=count)
    y = (noise, np.sin(9 * x) + 0.2 * noise, np.abs(x - 0.4) + 0.05 * noise, np.cumsum(noise))[seed % 4]
    weight = np.ones(count) if seed % 3 else draw.uniform(0.2, 2, count)
    parts = 6 if n == 2 else 3
    grid = np.interp(np.linspace(0, count - 1, parts * (count - 1) + 1), np.arange(count), x)[1:-1]
    best, fit = brute_force(x, y, weight, n, grid), least_squares(make_points(x, y, weight=weight), n)
    reached = float(weight @ (fit(x) - y) ** 2)
    return "" if reached <= best * (1 + 1e-6) + 1e-14 else f"{reached}, by brute force {best}"


def function_fault(target: Target, n: int) -> str:
    """Compare least squares with brute force on a function, sampled at the nodes of a composite quadrature."""
    nodes, shares = np.polynomial.legendre.leggauss(3)
    edges = np.linspace(target.low, target.high, 601)
    half = np.diff(edges)[:, None] / 2
    x, weight = (edges[:-1, None] + half * (1 + nodes)).ravel(), (half * shares).ravel()
    grid = np.linspace(target.low, target.high, 242 if n == 2 else 50)[1:-1]
    ends = np.array([target.low, target.high])
    knots = _brute_knots(x, target(x), weight, n, grid)
    # Both are judged by the exact integrals: the samples do not see all that a fractal or a steep step does.
    moments = Moments(target)
    fit = least_squares(target, n)

    def saved(inner: np.ndarray) -> float:
        edges = np.concatenate([ends[:1], inner, ends[1:]])
        return -fit_at(moments(edges), edges)[1]

    mine, brute = saved(fit.knots[1:]), max(saved(inner) for inner in knots)
    total = float(weight @ target(x) ** 2)
    return "" if total - mine <= (total - brute) * (1 + 1e-5) + 1e-12 * total else f"saves {mine}, brute force {brute}"


def _brute_knots(x, y, weight, n, grid) -> list[np.ndarray]:
    low, span = x[0], x[-1] - x[0]
    z, places = (x - low) / span, (grid - low) / span
    ranked = sorted(itertools.combinations(places, n - 1), key=lambda knots: _quick(z, y, weight, knots))[:60]
    picks: list[np.ndarray] = []
    for knots in map(np.array, ranked):
        if len(picks) < 4 and all(np.abs(knots - pick).max() > 0.02 for pick in picks):
            picks.append(knots)

    def left(knots: np.ndarray) -> float:
        return residual(z, y, weight, np.sort(knots)) if ((knots > 0) & (knots < 1)).all() else np.inf

    options = {"xatol": 1e-7, "fatol": 0, "maxiter": 150}
    return [low + span * np.sort(minimize(left, pick, method="Nelder-Mead", options=options).x) for pick in picks]


def _quick(x, y, weight, knots) -> float:
    basis = np.stack([np.ones_like(x), x, *(np.maximum(x - knot, 0) for knot in knots)])
    load = basis @ (weight * y)
    return -float(load @ np.linalg.solve((basis * weight) @ basis.T + 1e-14 * np.eye(len(basis)), load))


def cases() -> Iterator[tuple[str, object]]:
    """Give every case as its name and a function that says what is wrong, or ''."""
    for target, n in itertools.product(campaign_targets(), WIDTHS):
        yield f"minimax {named(target, n)}", lambda target=target, n=n: minimax_fault(target, n)
        for method in (uniform, equidistributed, greedy, *((least_squares,) if n in SLOW_WIDTHS else ())):
            yield (
                f"{method.__name__} {named(target, n)}",
                lambda target=target, n=n, method=method: method_fault(target, n, method),
            )
    for seed, n in itertools.product(range(100), (2, 3)):
        yield f"least squares of points, seed {seed}, n = {n}", lambda seed=seed, n=n: points_fault(seed, n)
    for target, n in itertools.product(campaign_targets(), (2, 3)):
        yield f"least squares of {named(target, n)}", lambda target=target, n=n: function_fault(target, n)


def main(share: int) -> int:
    tried = wrong = 0
    for name, fault in itertools.islice(cases(), 0, None, share):
        tried += 1
        try:
            said = fault()
        except Exception as error:  # a campaign goes on
            said = repr(error)
        if said:
            wrong += 1
            print(f"{name}: {said}", flush=True)
    print(f"{tried} cases, {wrong} wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1))
