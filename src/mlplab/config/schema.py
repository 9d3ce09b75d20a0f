"""Which keys a config may have and what each may be, without importing what they configure.

A wrong option is answered before torch is imported, so the tables stand here and not beside the classes;
a test compares them with the classes' signatures and with every file of conf/.
"""

from mlplab.options import (
    CLASSES,
    COSINE,
    DECISION_MAPS,
    EARLY_STOPPING,
    FILE,
    LOSS,
    MLP,
    MOST,
    NAME,
    ONE_CYCLE,
    PATH,
    SEED,
    SPIRAL,
    STEP,
    SYNTHETIC,
    TRAINER,
)
from mlplab.rules import Rule, boolean, choice, either, integer, many, mapping, number, optional, quantity, text
from mlplab.runs.metrics import OBJECTIVES


def _is_objective(value: object) -> bool:
    names = value if isinstance(value, list) else [value]
    known = all(isinstance(name, str) and name in OBJECTIVES for name in names)
    return known and 0 < len(names) == len(set(names))


OBJECTIVE = Rule(f"one of {', '.join(OBJECTIVES)}, or a list of different ones", _is_objective, tuple(OBJECTIVES))

_ADAM = {
    "lr": number(0, MOST, above=True),
    "betas": many(number(0, 1, below=True), length=2),
    "eps": number(0, MOST, above=True),
    "weight_decay": number(0, MOST),
}


def _each(rule: Rule) -> Rule:
    """Allow a value for all neurons, or a list with one a neuron."""
    return either(rule, many(rule, least=1))


_CURRENT = optional(_each(quantity(number(), "ma")))  # null: chosen for the neuron
_CURRENTS = optional(quantity(number(), "ma"))
_V = _each(quantity(number(-1e30, 1e30), "v"))
_MS = quantity(number(1e-30, 1e30), "ms")  # beyond, the quotient of two such numbers may be none
_RESISTANCE = quantity(either(number(1e-30, 1e30), choice(float("inf"))), "kohm")
_NOISE = {"dt_ms": _MS, "neurons": integer(1), "seed": SEED}

# The keys of each class that conf/ can name. The arguments of other classes are not checked.
TARGETS: dict[str, dict[str, Rule]] = {
    "mlplab.data.modules.SpiralDataModule": SPIRAL,
    "mlplab.data.modules.CirclesDataModule": SYNTHETIC | CLASSES,
    "mlplab.data.modules.MoonsDataModule": SYNTHETIC | {"points_per_class": integer(1)},
    "mlplab.data.modules.XorDataModule": SYNTHETIC | {"points_per_class": integer(1)},
    "mlplab.data.modules.BlobsDataModule": SYNTHETIC | CLASSES,
    "mlplab.data.file_module.FileDataModule": FILE,
    "mlplab.data.modules.FileDataModule": FILE,  # as version 0.1 recorded it
    "mlplab.nn.mlp.MLP": MLP,
    "mlplab.training.classifier.Classifier": {},
    "mlplab.nn.losses.CrossEntropy": LOSS,
    "torch.nn.CrossEntropyLoss": LOSS,
    "torch.optim.Adam": _ADAM,
    "torch.optim.AdamW": _ADAM,
    "torch.optim.SGD": {
        "lr": number(0, MOST, above=True),
        "momentum": number(0, 1, below=True),
        "nesterov": boolean(),
        "weight_decay": number(0, MOST),
    },
    "mlplab.population.schedules.Constant": {},
    "mlplab.population.schedules.Cosine": COSINE,
    "mlplab.population.schedules.OneCycle": ONE_CYCLE,
    "mlplab.population.schedules.Step": STEP,
    "mlplab.training.callbacks.DecisionMaps": DECISION_MAPS,
    "mlplab.training.callbacks.Progress": {},
    "mlplab.training.callbacks.Checkpoints": {"every_seconds": number(0)},
    "mlplab.training.callbacks.EarlyStopping": EARLY_STOPPING,
    "mlplab.training.callbacks.DivergenceGuard": {},
    "mlplab.training.callbacks.LearningRateMonitor": {},
    "mlplab.training.callbacks.Timing": {},
    "mlplab.studies.lif.surrogate.SpikingMLP": {
        "hidden": optional(many(integer(1))),
        "width": integer(1),
        "depth": integer(0, 10_000),
        "steps": integer(1),
        "resistance_kohm": number(0, above=True),
        "capacitance_uf": number(0, above=True),
        "steepness": number(0, above=True),
    },
    "mlplab.studies.lif.neuron.Neuron": {
        "resistance_kohm": _each(_RESISTANCE),
        "capacitance_uf": _each(quantity(number(1e-30, 1e30), "uf")),
        "tau_ref_ms": _each(quantity(number(0, 1e30), "ms")),
        "rest_v": _V,
        "threshold_v": _V,
        "reset_v": _V,
        "spike_v": optional(_each(quantity(number(0), "v"))),
    },
    "mlplab.studies.lif.currents.Constant": {"current_ma": _CURRENT},
    "mlplab.studies.lif.currents.Step": {
        "dt_ms": _MS,
        "before_ma": _CURRENT,
        "after_ma": _CURRENT,
        "at_ms": quantity(number(), "ms"),
    },
    "mlplab.studies.lif.currents.Ramp": {"dt_ms": _MS, "from_ma": _CURRENT, "to_ma": _CURRENT, "over_ms": _MS},
    "mlplab.studies.lif.currents.Sine": {
        "dt_ms": _MS,
        "mean_ma": _CURRENT,
        "amplitude_ma": _CURRENT,
        "frequency_hz": _each(quantity(number(), "hz")),
        "phase_degrees": _each(number()),
    },
    "mlplab.studies.lif.currents.OrnsteinUhlenbeck": _NOISE
    | {"tau_ms": _MS, "mean_ma": _CURRENTS, "std_ma": optional(quantity(number(0), "ma"))},
    "mlplab.studies.lif.currents.WhiteNoise": _NOISE
    | {"mean_ma": _CURRENTS, "intensity_ma_sqrt_ms": optional(number(0))},
    "mlplab.studies.lif.currents.Poisson": _NOISE
    | {"tau_ms": _MS, "rate_hz": quantity(number(0), "hz"), "synapses": integer(0), "weight_ma": _CURRENTS},
    "mlplab.studies.lif.currents.FileSamples": {"path": PATH},
    "mlplab.training.loggers.TensorBoardLogger": {"flush_every_s": number(0)},
    "mlplab.training.loggers.CSVLogger": {"flush_every_s": number(0)},
}

# Keys of torch's optimisers that conf/ leaves out; the engine does not know them, so that Lightning trains with them.
_OF_TORCH = {
    "maximize": boolean(),
    "foreach": optional(boolean()),
    "differentiable": boolean(),
    "fused": optional(boolean()),
}
ALSO: dict[str, dict[str, Rule]] = {
    "torch.optim.Adam": _OF_TORCH | {"amsgrad": boolean(), "capturable": boolean()},
    "torch.optim.AdamW": _OF_TORCH | {"amsgrad": boolean(), "capturable": boolean()},
    "torch.optim.SGD": _OF_TORCH | {"dampening": number()},
}


class Object:
    """A node that names a class by ``_target_``."""


class Objects:
    """A node whose every entry is an object, or null where it is turned off."""


# The keys that every study has (conf/study.yaml).
STUDY: dict[str, object] = {
    "seed": SEED,
    "name": optional(NAME),
    "paths": {"logs": PATH},
    "resume": {"folder": optional(PATH), "accept_code": boolean()},
    "sweep": optional(NAME),
    "figure_formats": many(choice("png", "svg", "pdf")),
    "launcher": {
        "executor": choice("inline", "processes", "submitit", "ray"),
        "workers": optional(integer(1)),
        "max_members": optional(integer(1)),
        "timeout_s": optional(number(0, above=True)),
        "cluster": optional(choice("slurm", "local")),
        "address": optional(PATH),
        "options": optional(mapping()),
    },
    "search": {
        "trials": integer(1),
        "batch": optional(integer(1)),
        "objective": OBJECTIVE,
        "sampler": choice("tpe", "random", "grid", "nsga2"),
    },
}

# The root keys of each study. One that is not here is checked for STUDY and for its objects only.
ROOTS: dict[str, dict[str, object]] = {
    "train": STUDY
    | {
        "init_from": optional(PATH),
        "evaluate_state": choice("best", "last"),
        "monitor": text(words="the name of a metric"),
        "mode": choice("min", "max"),
        "module": Object(),
        "figures": choice("all", "map", "none"),
        "data": Object(),
        "model": Object(),
        "loss": Object(),
        "optimizer": Object(),
        "schedule": Object(),
        "trainer": TRAINER,
        "callbacks": Objects(),
        "logger": Objects(),
    },
    "relu_approximation": STUDY
    | {
        "target": {
            "name": text(r"[a-z][a-z0-9_]*", "a target's name"),
            "low": optional(number(-1e30, 1e30)),  # beyond, powers of the target's values may be none
            "high": optional(number(-1e30, 1e30)),
            "path": optional(PATH),
        },
        "method": {
            "names": many(
                choice("uniform", "equidistributed", "least_squares", "greedy", "minimax", "trained", "depth"), least=1
            )
        },
        "n": either(integer(1), many(integer(1), least=1)),
        "equidistributed": {"balance": boolean()},
        "trained": {
            "starts": many(choice("default", "hats", "minimax"), least=1),
            "networks": integer(1, 64),
            "adam_steps": integer(0),
            "lr": number(0, above=True),
            "lbfgs_steps": integer(0),
            "points": integer(2, 1_000_000),
        },
        "depth": {"networks": integer(0, 64), "steps": integer(0)},
        "figures": many(choice("decomposition", "width", "depth")),
    },
    "spiking": STUDY
    | {
        "runs": many(PATH, least=1),
        "neuron": Object(),
        "simulation": {
            "duration_ms": _MS,
            "dt_ms": _MS,
            "max_rate_hz": quantity(number(0, above=True), "hz"),
            "start_fraction": number(0, 1, below=True),
        },
        "resistances_kohm": many(_RESISTANCE),
        "refractories_ms": many(quantity(number(0, 1e30), "ms")),
        "depths": many(integer(0)),
        "depth_width": integer(1),
        "depth_seeds": integer(1),
        "depth_training": {"epochs": integer(1), "lr": _each(number(0, above=True))},
        "few_steps": {"try": many(integer(1, 4096)), "quantile": number(0, 1, above=True)},
        "surrogate": {"epochs": integer(0), "steps": integer(1), "lr": number(0, above=True)},
        "maps": boolean(),
    },
    "lif": STUDY
    | {
        "neuron": Object(),
        "input": Object(),
        "simulation": {
            "duration_ms": quantity(number(0, 1e30), "ms"),
            "dt_ms": _MS,
            "method": choice("euler", "exponential", "exact"),
            "start_v": optional(quantity(number(-1e30, 1e30), "v")),
        },
        "explorer": {"current_ma": _CURRENTS},
        "figures": many(choice("membrane", "families", "relu_limit", "convergence", "noise", "explorer")),
    },
}

# Keys of Hydra's own that any object may have.
INSTANTIATE = {
    "_target_": text(words="the dotted name of a class"),
    "_partial_": boolean(),
    "_recursive_": boolean(),
    "_convert_": choice("none", "partial", "object", "all"),
}
