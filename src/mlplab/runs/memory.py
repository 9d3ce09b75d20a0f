"""How much memory a job takes, estimated from its config before anything is built, and how much there is."""

import math
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlplab.errors import InputError
from mlplab.words import plural

GB = 1e9
# The variable by which a person sets another limit than the machine's.
LIMIT = "MLPLAB_MEMORY_GB"
# The share of it that the program, its libraries and the system leave.
SHARE = 0.9
# Measured (peak of whole commands, networks of up to 16 million parameters, up to four million points) and rounded
# down: numbers kept for each parameter (weights, gradients, moments, checkpoints in the making), bytes for each point,
# numbers for each unit and point of a minibatch, and those that a spiking unit keeps each step for the way back, with
# the bytes of a spiking layer's step whatever its width.
NUMBERS_A_PARAMETER, BYTES_A_POINT, NUMBERS_A_UNIT, NUMBERS_A_SPIKING_STEP, BYTES_A_SPIKING_STEP = 16, 200, 2, 10, 9000
# Bytes of a point of a decision map, and for each class there; of a class's logit of a point that is measured.
BYTES_A_MAP_POINT, BYTES_A_MAP_CLASS, BYTES_A_LOGIT = 120, 16, 4
# Bytes of a simulated neuron; of a unit of a sum of ReLUs, of one that is trained, and of a training point, each a network.
BYTES_A_NEURON, BYTES_A_RELU, BYTES_A_TRAINED_RELU, BYTES_A_TRAINING_POINT = 100, 8000, 200, 40
# Bytes of addresses that a thread's stack and heap are given (glibc), used or not.
BYTES_A_THREAD = 72e6
# Bytes of a job of a sweep while all are composed: 2,100 jobs of a train run took 16 MB more than 100.
BYTES_A_JOB = 8000


def hidden_widths(config: Mapping[str, Any]) -> list[int]:
    """Guess the hidden widths of a job's network from its config."""
    model = config.get("model", {})
    return (
        list(model["hidden"]) if model.get("hidden") is not None else [model.get("width", 128)] * model.get("depth", 1)
    )


def points_of(config: Mapping[str, Any]) -> int:
    """Guess the number of a job's points before they are split from its config."""
    data = config.get("data", {})
    return data.get("points_per_arm", data.get("points_per_class", 800)) * _classes(data)


def _classes(data: Mapping[str, Any]) -> int:
    return data.get("arms", data.get("classes", 4))


def parameters(config: Mapping[str, Any]) -> int:
    """Count the parameters of a perceptron with the config's widths, two inputs and the data's classes."""
    widths = hidden_widths(config)
    return sum((a + 1) * b for a, b in zip([2, *widths], [*widths, _classes(config.get("data", {}))]))


def needs(config: Mapping[str, Any]) -> dict[str, float]:
    """Estimate the bytes that training a job takes: what decides them, in words -> bytes."""
    model, data = config.get("model", {}), config.get("data", {})
    widths, points = hidden_widths(config), points_of(config)
    size = 8 if str(config.get("trainer", {}).get("precision", "")).startswith("64") else 4
    given = [f"model.{name}={model[name]}" for name in ("hidden", "width", "depth") if model.get(name) is not None]
    if model.get("hidden") is not None:
        given = [f"model.hidden of {plural(len(widths), 'layer')}"]
    found = {}
    if given:
        count = parameters(config)
        found[f"{' and '.join(given)} ({plural(count, 'parameter')})"] = NUMBERS_A_PARAMETER * size * count
        batch = min(data.get("batch_size", 1), points)
        steps = model["steps"] * NUMBERS_A_SPIKING_STEP if "steps" in model else NUMBERS_A_UNIT
        words = f"model.steps={model['steps']}" if "steps" in model else f"data.batch_size={batch}"
        more = BYTES_A_SPIKING_STEP * len(widths) * model["steps"] if "steps" in model else 0
        found[f"{words} (of {plural(sum(widths), 'unit')})"] = steps * size * batch * sum(widths) + more
    for name in ("points_per_arm", "points_per_class", "validation_points", "fresh_points"):
        if name in data:
            count = data[name] if name.startswith(("validation", "fresh")) else points
            bytes_each = BYTES_A_POINT + BYTES_A_LOGIT * _classes(data)
            found[f"data.{name}={data[name]} ({plural(count, 'point')})"] = bytes_each * count
    maps = (config.get("callbacks") or {}).get("decision_maps") or {}
    if "resolution" in maps and config.get("figures") != "none":
        bytes_each = BYTES_A_MAP_POINT + BYTES_A_MAP_CLASS * _classes(data)
        words = f"callbacks.decision_maps.resolution={maps['resolution']} ({_classes(data)} classes)"
        found[words] = bytes_each * maps["resolution"] ** 2
    return found


def _of_lif(config: Mapping[str, Any]) -> dict[str, float]:
    neurons = config["input"].get("neurons", 0)
    return {f"input.neurons={neurons}": BYTES_A_NEURON * neurons}


def _of_relu(config: Mapping[str, Any]) -> dict[str, float]:
    n = config["n"] if isinstance(config["n"], int) else max(config["n"])
    trained, methods = config["trained"], set(config["method"]["names"])
    found = {f"n={n}": 0 if methods == {"trained"} else BYTES_A_RELU * n}
    if "trained" in methods:
        found[f"n={n}"] += BYTES_A_TRAINED_RELU * n * trained["networks"]
        found[f"trained.points={trained['points']}"] = BYTES_A_TRAINING_POINT * trained["points"] * trained["networks"]
    return found


def _of_spiking(config: Mapping[str, Any]) -> dict[str, float]:
    width, depth, seeds = config["depth_width"], max(config["depths"], default=0), config["depth_seeds"]
    count = max(depth - 1, 0) * width**2 * seeds
    steps = config["surrogate"]["steps"] if config["surrogate"]["epochs"] else 0
    return {
        f"depth_width={width}, depth_seeds={seeds} and depths up to {depth} ({count:,} parameters)": 4
        * NUMBERS_A_PARAMETER
        * count,
        f"surrogate.steps={steps}": BYTES_A_SPIKING_STEP * steps,
    }


NEEDS: dict[str, Callable[[Mapping[str, Any]], dict[str, float]]] = {
    "train": needs,
    "lif": _of_lif,
    "relu_approximation": _of_relu,
    "spiking": _of_spiking,
}


def machine_bytes() -> float:
    """Give the memory that this process may take: the machine's, its control group's, its own limit or the person's.

    Raises:
        InputError: the person's is no number.
    """
    own = os.environ.get(LIMIT)
    if own:
        with suppress(ValueError):
            if 0 < float(own) < math.inf:
                return float(own) * GB
        raise InputError(f"{LIMIT} must be a number of gigabytes > 0, got {own!r}")
    limits = [float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))]
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # "max" is no limit
            limits.append(float(Path(name).read_text()))
    with suppress(ImportError):
        import resource

        own_limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        limits += [float(own_limit)] if own_limit != resource.RLIM_INFINITY else []
    return min(limits)


def expect_memory(config: Mapping[str, Any], study: str = "train") -> None:
    """Refuse a job that cannot fit into memory, before anything of it is built.

    Args:
        config: checked already by the schema.
        study: a key of ``NEEDS``.

    Raises:
        InputError: names the quantity that is too large, how much it takes and how much there is.
    """
    expect_room(NEEDS[study](config) | _threads(config.get("trainer", {}).get("threads", 1)))


def _threads(count: int) -> dict[str, float]:
    """Say what several threads take of a limited address space, where the process would end without a word."""
    with suppress(ImportError, OSError):  # not every system tells
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        if count > 1 and limit != resource.RLIM_INFINITY and used + count * BYTES_A_THREAD > SHARE * limit:
            return {f"trainer.threads={count} within a limited address space": used + count * BYTES_A_THREAD}
    return {}


def expect_room(found: Mapping[str, float]) -> None:
    """Refuse what takes more memory than there is.

    Args:
        found: what decides it, in words -> bytes.

    Raises:
        InputError: names the largest, how much all take and how much there is.
    """
    total, limit = min(sum(found.values()), 10**300), machine_bytes()
    if total > SHARE * limit:
        largest = max(found, key=found.__getitem__)
        raise InputError(
            f"this does not fit into memory, got {largest}: about {total / GB:,.1f} GB in all, and there are {limit / GB:,.1f} GB; "
            f"take a smaller one, or set another limit by {LIMIT}"
        )
