"""What the options of the lab's own classes may be, asked by the schema, before torch is imported, and by the classes."""

import ast
from functools import cache
from pathlib import Path

from mlplab.rules import Rule, boolean, choice, either, integer, many, number, optional, text

SEED = integer(0, 2**63 - 1)
FRACTION = number(0, 1, above=True, below=True)
NAME = text(
    r"[A-Za-z0-9][A-Za-z0-9._=,+-]{0,199}", "at most 200 letters, digits and . _ = , + -, a letter or digit first"
)
PATH = text(words="a path")


@cache
def activation_names() -> tuple[str, ...]:
    """Read the names of ``ACTIVATIONS`` from nn/activations.py as text: importing it imports torch."""
    source = (Path(__file__).parent / "nn" / "activations.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id == "ACTIVATIONS":
            return tuple(key.value for key in node.value.keys)
    raise AssertionError("nn/activations.py has no annotated ACTIVATIONS")


def _is_activation(value: object) -> bool:
    if isinstance(value, dict):
        arguments = [entry for key, entry in value.items() if key != "name"]
        plain = all(isinstance(entry, bool | str) or number().accepts(entry) for entry in arguments)
        return value.get("name") in activation_names() and plain
    return isinstance(value, str) and value in activation_names()


def _is_activation_or_list(value: object) -> bool:
    return all(map(_is_activation, value)) if isinstance(value, list | tuple) else _is_activation(value)


ACTIVATION = Rule(
    f"one of {', '.join(activation_names())}, or with arguments as {{name: leaky_relu, negative_slope: 0.1}}, "
    "or a list of such, one a hidden layer",
    _is_activation_or_list,
    activation_names(),
)

DATA = {"seed": SEED, "batch_size": integer(1), "drop_last": boolean(), "test_fraction": FRACTION, "order_seed": SEED}
SYNTHETIC = DATA | {
    "noise": number(0, 1000),
    "validation_points": integer(0),
    "fresh_points": integer(0),
    "seeding": choice("derived", "tutorial"),
}
CLASSES = {"classes": integer(1, 1000), "points_per_class": integer(1)}
LOSS = {"weight": optional(many(number(0), least=1)), "ignore_index": integer(), "label_smoothing": number(0, 1)}
SPIRAL = SYNTHETIC | {
    "arms": integer(1, 1000),
    "points_per_arm": integer(1),
    "t_min": number(0),
    "t_max": number(0, 100, above=True),
    "rotation_degrees": number(),
    "inputs": choice("plane", "polar"),
    "with_ends": boolean(),
}
MLP = {
    "hidden": optional(many(integer(1))),
    "width": integer(1),
    "depth": integer(0, 10_000),
    "activation": ACTIVATION,
    "dropout": number(0, 1, below=True),
    "initialization": choice("default", "kaiming", "xavier", "orthogonal"),
    "init_seed": optional(SEED),
}
_SHA256 = optional(text("[0-9a-f]{64}", "64 hexadecimal digits"))
COLUMN = either(text(words="a column's name"), integer())
_COLUMNS = either(many(COLUMN), COLUMN)
FILE = DATA | {
    "path": PATH,
    "label": optional(COLUMN),
    "features": optional(either(many(COLUMN, least=1), COLUMN)),
    "exclude": _COLUMNS,
    "categorical": _COLUMNS,
    "missing": choice("refuse", "drop", "median"),
    "standardize": boolean(),
    "separator": optional(choice("comma", "semicolon", "tab", "blanks")),
    "header": optional(boolean()),
    "validation_path": optional(PATH),
    "test_path": optional(PATH),
    "validation_fraction": number(0, 1, below=True),
    "stratify": boolean(),
    "group": optional(COLUMN),
    "file_sha256": _SHA256,
    "validation_sha256": _SHA256,
    "test_sha256": _SHA256,
    "copy": boolean(),
}
# As torch's own, which the lab's loss takes too but a run does not.
REDUCTION = choice("mean", "sum", "none")
# "cuda" is Lightning's other word for an NVIDIA GPU.
ACCELERATOR = choice("auto", "cpu", "gpu", "cuda", "mps")
# Lightning's short words for four of the precisions, 32, 64 and 16 as numbers too.
PRECISION_WORDS = {"32": "32-true", "64": "64-true", "16": "16-mixed", "bf16": "bf16-mixed"}
TRAINER = {
    "accelerator": ACCELERATOR,
    "devices": either(integer(1), many(integer(0), least=1), choice("auto", -1)),
    "max_epochs": integer(-1),
    "max_steps": integer(-1),
    "limit_train_batches": either(integer(1), number(0, 1, above=True)),
    "overfit_batches": either(integer(0), number(0, 1)),
    "fast_dev_run": either(boolean(), integer(0)),
    "check_val_every_n_epoch": optional(integer(1)),
    "accumulate_grad_batches": integer(1),
    "gradient_clip_val": optional(number(0)),
    "gradient_clip_algorithm": optional(choice("norm", "value")),
    "precision": choice("32-true", "64-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true"),
    "engine": choice("auto", "population", "lightning"),
    "profiler": optional(choice("simple", "advanced")),
    "threads": integer(1, 1024),  # torch itself crashes where it cannot start so many
}
_TIME = text(r"\d+:\d\d:\d\d:\d\d", "a time such as 00:01:30:00, days:hours:minutes:seconds")
_LIMIT = optional(either(integer(0), number(0, 1)))
# The other options of Lightning's Trainer that a config may add.
FURTHER_TRAINER = {
    "min_epochs": optional(integer(0)),
    "min_steps": optional(integer(0)),
    "max_time": optional(_TIME),
    "limit_val_batches": _LIMIT,
    "val_check_interval": optional(either(integer(1), number(0, 1, above=True), _TIME)),
    "num_sanity_val_steps": optional(integer(-1)),
    "log_every_n_steps": optional(integer(1)),
    "enable_checkpointing": optional(boolean()),
    "enable_progress_bar": optional(boolean()),
    "enable_model_summary": optional(boolean()),
    "deterministic": optional(either(boolean(), choice("warn"))),
    "benchmark": optional(boolean()),
    "inference_mode": boolean(),
    "detect_anomaly": boolean(),
    "reload_dataloaders_every_n_epochs": integer(0),
    "enable_autolog_hparams": boolean(),
}
# Those that a config may not, and what to change in their place.
CLOSED_TRAINER = {
    "logger": "take one of the group logger",
    "callbacks": "take one of the group callbacks",
    "default_root_dir": "a run writes into its own folder, under paths.logs",
    "plugins": "give them to Lightning's Trainer in Python",
    "model_registry": "give it to Lightning's Trainer in Python",
    "limit_test_batches": "a run is measured on all test points",
    "limit_predict_batches": "predict gives an answer for every row",
    "use_distributed_sampler": "a run is one process",
    "sync_batchnorm": "a run is one process",
    "num_nodes": "a run is one process",
    "strategy": "a run is one process; in Python Lightning's Trainer takes the classifier with any strategy",
    "barebones": "turn off callbacks, logger and figures",
}
# Beyond it float32 overflows, in which networks are trained.
MOST = 1e30
COSINE = {"final_fraction": number(0, 1), "warmup_epochs": number(0)}
ONE_CYCLE = {"warmup_fraction": FRACTION, "initial_fraction": number(0, 1, above=True), "final_fraction": number(0, 1)}
STEP = {"every_epochs": integer(1), "factor": number(0, 1, above=True)}
DECISION_MAPS = {
    "epochs": either(choice("log"), many(integer(0))),
    "resolution": integer(2, 4096),
    "limit": optional(number(1e-30, MOST)),
    "pair": optional(many(COLUMN, least=2)),
}
MONITOR = choice("val/loss", "val/nll", "val/accuracy", "train/loss", "train/accuracy")
EARLY_STOPPING = {"monitor": MONITOR, "patience": integer(1), "min_delta": number(0)}


def long_precision(word: object) -> object:
    """Give Lightning's long word for its short one of a precision, such as ``32-true`` for 32; anything else as it is."""
    return PRECISION_WORDS.get(str(word), word)
