"""The firing of a LIF neuron under white noise, known exactly: rate and irregularity without simulating.

With the mean current mu and noise of intensity s (`currents.WhiteNoise`), the membrane is an Ornstein-Uhlenbeck process
of deviation sigma = s sqrt(R / (2 C)) about D = V_rest + R mu, and a spike its first passage of the threshold. With
a = (V_reset - D)/(sqrt(2) sigma) and b = (Vth - D)/(sqrt(2) sigma),

    1/rate = tau_ref + tau sqrt(pi) * integral over u from a to b of erfcx(-u)

(Siegert 1951; Ricciardi 1977), where erfcx(-u) = e^(u^2) (1 + erf u). Written out, the integrand overflows from
u = 27 on, far below the threshold current, and cancels to nothing far above it. Here the part u < 0 is integrated in
ln(1 - u), where it is smooth over any range, and the part u > 0 has e^(b^2) taken out; both by Gauss-Legendre
quadrature.
"""

import numpy as np
from scipy.special import erfc, erfcx

from mlplab.errors import InputError
from mlplab.studies.lif.grid import whole_steps
from mlplab.studies.lif.neuron import MS_PER_S, Neuron, checked_current, rate_hz

# A walk that is looked at in steps misses crossings between them: it meets a barrier this many deviations of a step
# farther away, -zeta(1/2)/sqrt(2 pi) (Chernoff 1965; Broadie, Glasserman and Kou 1997).
BARRIER = 0.5825971579390107

NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)
# Far enough that e^-EXPONENT is nothing beside 1.
EXPONENT = 45.0
# Pieces of u < 0, and from where on x erfcx(x) is 1/sqrt(pi) to the last bit.
SPLIT, FAR = 30.0, 1e9


def white_noise_rate_hz(
    neuron: Neuron, mean_ma, intensity_ma_sqrt_ms, dt_ms: float = 0.0, method: str = "exact"
) -> np.ndarray:
    """Return the exact firing rate in Hz under white noise.

    Args:
        neuron: parameters; all arguments broadcast together.
        mean_ma: mean of the input.
        intensity_ma_sqrt_ms: s >= 0 of <eta(t) eta(t')> = s^2 delta(t - t'); 0 gives `rate_hz`.
        dt_ms: step of a simulation whose noise is constant within a step. Its rate is returned with an error of the
            order of dt; without the correction the error would be of the order of sqrt(dt). 0: continuous time.
        method: how that simulation steps: "exact", "exponential" or "euler".

    Raises:
        InputError: a current or an intensity is not allowed.

    Source: Siegert 1951, "On the first passage time probability problem"; Brunel 2000, eq. 21.
    """
    given, shape = _flat(neuron, mean_ma, intensity_ma_sqrt_ms)
    mean, noise = given["mean"], given["noise"]
    if dt_ms and method != "exact":  # whole steps of refractory time, as the grid has them
        given["tau_ref"] = whole_steps(given["tau_ref"], dt_ms) * dt_ms
    low, high, width = bounds(given, dt_ms, method)
    above, below, exponent = passage_integral(low, high, width)
    tau = stepped_ms(given["tau"], dt_ms, method)
    # 1/rate = tau_ref + tau sqrt(pi) (below + e^(b^2) above), with e^(-b^2) on both sides of the fraction.
    small = np.exp(-exponent)
    with np.errstate(over="ignore"):
        rates = small / (small * (given["tau_ref"] + tau * np.sqrt(np.pi) * below) + tau * np.sqrt(np.pi) * above)
    # Without a leak the way to the threshold is a walk with drift, and its mean time that of the drift alone.
    with np.errstate(divide="ignore"):
        drift = 1.0 / (given["tau_ref"] + given["capacitance"] * given["gap"] / np.maximum(mean, 0.0))
    rates = MS_PER_S * np.where(given["leaky"], rates, drift)
    silent = np.broadcast_to(rate_hz(neuron, mean_ma), shape).ravel()
    return np.where(noise > 0, rates, silent).reshape(shape)


def interval_variation(
    neuron: Neuron, mean_ma, intensity_ma_sqrt_ms, dt_ms: float = 0.0, method: str = "exact"
) -> np.ndarray:
    """Return the coefficient of variation of the intervals between spikes: deviation over mean.

        CV^2 = 2 pi tau^2 rate^2 * integral over x from a to b of e^(x^2) * integral over u < x of e^(u^2) (1 + erf u)^2

    and s^2/(mean C (Vth - V_reset)) without a leak and a refractory time. It is 0 without noise and tends to 1
    where spikes become rare. Args as for `white_noise_rate_hz`; NaN where there are no spikes at all.

    Source: Brunel 2000, appendix A.1; Tuckwell 1988, eq. 9.111.
    """
    given, shape = _flat(neuron, mean_ma, intensity_ma_sqrt_ms)
    mean, noise = given["mean"], given["noise"]
    rate = white_noise_rate_hz(neuron, mean_ma, intensity_ma_sqrt_ms, dt_ms, method).ravel() / MS_PER_S
    low, high, width = bounds(given, dt_ms, method)
    above, below, exponent = passage_integral(low, high, width, second_moment)
    tau = stepped_ms(given["tau"], dt_ms, method)
    # e^(2 b^2) of the integral meets the e^(-b^2) of the rate, which may be too small to be squared alone.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        lifted = np.where(exponent < 300, rate * np.exp(exponent), _lifted_rate(tau, low, high, width))
        squared = 2 * np.pi * tau**2 * (rate**2 * below + lifted**2 * above)
        walk = rate**2 * noise**2 * given["capacitance"] * given["gap"] / np.maximum(mean, 0.0) ** 3
    found = np.sqrt(np.where(given["leaky"], squared, walk))
    return np.where(rate > 0, np.where(noise > 0, found, 0.0), np.nan).reshape(shape)


def _lifted_rate(tau, low, high, width):
    """Return rate * e^(b^2) per ms where e^(b^2) is so large that the rest of the interval is nothing beside it."""
    return 1.0 / (tau * np.sqrt(np.pi) * passage_integral(low, high, width)[0])


def _flat(neuron, mean_ma, intensity_ma_sqrt_ms):
    """Broadcast all that is needed to one axis, and return the shape that was."""
    mean, noise = checked_current(mean_ma), np.asarray(intensity_ma_sqrt_ms, dtype=np.float64)
    if not (np.isfinite(noise).all() and (noise >= 0).all()):
        raise InputError(f"intensity_ma_sqrt_ms must be finite and >= 0, got {noise[~(noise >= 0)].flat[:1] or noise}")
    named = {
        "mean": mean,
        "noise": noise,
        "tau": neuron.time_constant_ms,
        "tau_ref": neuron.tau_ref_ms,
        "capacitance": neuron.capacitance_uf,
        "gap": neuron.gap_v,
        "gap_ma": neuron.gap_ma,
        "drive": neuron.drive_ma(mean),
        "leaky": np.isfinite(neuron.resistance_kohm),
    }
    shape = np.broadcast_shapes(neuron.shape, mean.shape, noise.shape)
    return {name: np.broadcast_to(value, shape).ravel() for name, value in named.items()}, shape


def bounds(given, dt_ms: float, method: str):
    """Return a, b and b - a, moved by what a step of a simulation misses."""
    # In currents: sqrt(2) sigma / R = s / sqrt(tau).
    scale = given["noise"] / np.sqrt(given["tau"])
    if dt_ms:  # V := V + w (D - V) with a draw of deviation s / sqrt(dt) in D has its own stationary variance
        weight = _weight(given["tau"], dt_ms, method)
        scale = given["noise"] * np.sqrt(2.0 * weight / ((2.0 - weight) * dt_ms))
    scale = np.where((given["noise"] > 0) & given["leaky"], scale, 1.0)
    low = -given["drive"] / scale
    high = (given["gap_ma"] - given["drive"]) / scale
    width = given["gap_ma"] / scale
    if dt_ms:
        missed = BARRIER * np.sqrt(dt_ms / stepped_ms(given["tau"], dt_ms, method))
        # Spikes between the steps leave what overshoots the threshold of the step's input to the next interval, unless
        # the refractory time swallows it: then the reset seems to move along.
        along = (given["tau_ref"] == 0) & (method == "exact")
        low, high = low + np.where(along, missed, 0.0), high + missed
        width = width + np.where(along, 0.0, missed)
    return low, high, width


def _weight(tau_ms, dt_ms, method):
    return dt_ms / tau_ms if method == "euler" else -np.expm1(-dt_ms / tau_ms)


def stepped_ms(tau_ms, dt_ms: float, method: str):
    """Return the time constant with which a stepped membrane forgets: a little shorter than R C with Euler."""
    weight = _weight(tau_ms, dt_ms, method) if dt_ms else 0.0
    fine = (0 < weight) & (weight < 1) & (method == "euler")
    return np.where(fine, -dt_ms / np.log1p(-np.where(fine, weight, 0.5)), tau_ms)


def first_moment(x, shifted):
    """Return e^(shifted - u^2) erfcx(-u) for u = x > 0 as e^shifted erfc(-x); erfcx(-x) for x < 0, unshifted."""
    return np.where(x > 0, np.exp(shifted) * erfc(-np.abs(x)), erfcx(np.abs(x)))


def second_moment(x, shifted):
    """Return e^(x^2) * the integral over u < x of e^(-u^2) erfcx(-u)^2; times e^(2 shifted - 2 x^2) for x > 0."""
    x = np.asarray(x)[..., None]
    far = np.abs(x)
    # u = x - t: e^(x^2 - u^2) = e^(t (2 x - t)), and for u > 0 erfcx(-u)^2 = e^(2 u^2) erfc(-u)^2.
    # x < 0: erfcx(|x| + t)^2 e^(-t (2 |x| + t)), over t until nothing is left.
    reach = EXPONENT / (far + np.sqrt(far**2 + EXPONENT))
    t = reach * (NODES + 1) / 2
    falling = reach[..., 0] / 2 * np.sum(WEIGHTS * np.exp(-t * (2 * far + t)) * erfcx(far + t) ** 2, axis=-1)
    # x > 0, 0 < u < x: e^(x^2 + u^2) erfc(-u)^2 = e^(2 x^2) e^(-t (2 x - t)) erfc(-u)^2; then u < 0 as above from 0.
    reach = negligible_beyond(far)
    t = reach * (NODES + 1) / 2
    rising = reach[..., 0] / 2 * np.sum(WEIGHTS * np.exp(-t * (2 * far - t)) * erfc(-(far - t)) ** 2, axis=-1)
    positive = np.exp(2 * shifted) * (rising + np.exp(-(far[..., 0] ** 2)) * _FROM_ZERO)
    return np.where(x[..., 0] > 0, positive, falling)


# The integral over u < 0 of e^(-u^2) erfcx(-u)^2.
_T = np.sqrt(EXPONENT) * (NODES + 1) / 2
_FROM_ZERO = float(np.sqrt(EXPONENT) / 2 * np.sum(WEIGHTS * np.exp(-(_T**2)) * erfcx(_T) ** 2))


def negligible_beyond(top):
    """Return the t in [0, top] from which on e^(-t (2 top - t)) is nothing beside 1; top where there is none."""
    root = np.sqrt(np.maximum(top**2 - EXPONENT, 0.0))
    return np.where(top**2 > EXPONENT, EXPONENT / np.maximum(top + root, 1.0), top)


def passage_integral(low, high, width, moment=first_moment):
    """Integrate a moment from low to high: what lies above 0 without its e^(power b^2), and what lies below.

    Args:
        low, high, width: a, b and b - a, (N,), the last with all its digits.
        moment: function of u (N, nodes) and of u^2 - b^2, as `first_moment`.

    Returns:
        (above, below, exponent), each (N,): the integral is above * e^(power exponent) + below, with power 1 for the
        first moment and 2 for the second.
    """
    low, high, width = (np.asarray(v, dtype=np.float64)[:, None] for v in (low, high, width))
    top = np.maximum(high, 0.0)
    # Above 0: u = b - t, over t until u^2 - b^2 has fallen so far that nothing is left.
    room = np.where(low >= 0, width, top)
    reach = np.minimum(room, negligible_beyond(top))
    t = reach * (NODES + 1) / 2
    above = reach[:, 0] / 2 * np.sum(WEIGHTS * moment(top - t, -t * (2 * top - t)), axis=1)
    above = np.where(top[:, 0] > 0, above, 0.0)
    # Below 0: x = -u from x1 to x2, in the logarithm of 1 + x, of x, and beyond where x erfcx(x) is constant.
    near, far = np.maximum(-high, 0.0), np.maximum(-low, 0.0)
    below = np.zeros(len(low))
    for start, stop, offset in ((0.0, SPLIT, 1.0), (SPLIT, FAR, 0.0)):
        first, last = np.clip(near, start, stop), np.clip(far, start, stop)
        whole = (near >= start) & (far <= stop) & (high <= 0)
        length = np.log1p(np.where(whole, width, last - first) / (offset + first))
        grown = (offset + first) * np.exp(length * (NODES + 1) / 2)
        below += length[:, 0] / 2 * np.sum(WEIGHTS * moment(offset - grown, 0.0) * grown, axis=1)
    first, last = np.maximum(near, FAR), np.maximum(far, FAR)
    beyond = np.log1p(np.where((near >= FAR) & (high <= 0), width, last - first) / first)[:, 0]
    if moment is first_moment:
        below += beyond / np.sqrt(np.pi)
    else:  # 1/(2 pi x^3)
        below += (first**-2 - last**-2)[:, 0] / (4 * np.pi)
    return above, below, top[:, 0] ** 2
