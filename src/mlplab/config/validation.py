"""Check a composed config against the tables of the schema, and its keys against one another."""

from collections.abc import Mapping

from mlplab.config.schema import ALSO, INSTANTIATE, ROOTS, STUDY, TARGETS, Object, Objects, Rule
from mlplab.errors import InputError
from mlplab.options import CLOSED_TRAINER, FURTHER_TRAINER
from mlplab.rules import near, shown
from mlplab.runs.memory import expect_memory


def validate(config: Mapping, study: str = "train") -> None:
    """Check every key of a resolved config.

    Args:
        config: plain dicts, lists and values, without interpolations.
        study: a key of ``ROOTS``; of another study only the keys that all studies have are checked, and the
            nodes that name a class.

    Raises:
        InputError: one line that names the key, what is allowed and what was given.
    """
    table = ROOTS.get(study)
    if table is None:
        for key in STUDY:
            _check(key, config.get(key), STUDY[key])
        for key, value in config.items():
            if key not in STUDY and isinstance(value, Mapping) and "_target_" in value:
                _check_object(key, value)
        return
    _check("", config, table)
    if study == "train":
        check_training(config)
    expect_memory(config, study)


def allows(study: str, key: str, value: object) -> bool:
    """Say whether a dotted key may have a value, by the rule of any class that has such a key.

    Of a key of another class, which nothing checks, True.
    """
    *groups, last = key.split(".")
    node: object = ROOTS.get(study, STUDY)
    for name in groups:
        node = node.get(name) if isinstance(node, dict) else node
    if isinstance(node, dict):
        table = node | FURTHER_TRAINER if groups == ["trainer"] else node
        rules = [table[last]] if last in table else []
    else:
        rules = [table[last] for table in TARGETS.values() if last in table]
    if not rules:
        return bool(groups) and groups[0] != "hydra"
    return any(isinstance(rule, Rule) and rule.accepts(value) for rule in rules)


def _check(key: str, value: object, rule: object) -> None:
    if isinstance(rule, Rule):
        rule.check(key, value)
    elif isinstance(rule, Object):
        _check_object(key, value)
    elif isinstance(rule, Objects):
        _expect_mapping(key, value)
        for name, entry in value.items():
            if entry is not None:
                _check_object(f"{key}.{name}", entry)
    else:
        _expect_mapping(key, value)
        for name in rule:
            if name not in value:
                raise InputError(f"{f'{key}.' if key else ''}{name} is missing; it must not be removed")
        _check_keys(key, value, rule)


def _expect_mapping(key: str, value: object) -> None:
    if not isinstance(value, Mapping):
        raise InputError(f"{key} must be a group of keys, got {shown(value)}")


def _check_keys(key: str, value: Mapping, table: Mapping) -> None:
    prefix = f"{key}." if key else ""
    if key == "trainer":
        table = table | FURTHER_TRAINER
        for name in [name for name in value if name in CLOSED_TRAINER]:
            raise InputError(
                f"trainer.{name} must be left out, got trainer.{name}={shown(value[name])}: {CLOSED_TRAINER[name]}"
            )
    for name in value:
        if name not in table:
            options = ", ".join(option for option in table if option not in INSTANTIATE)
            raise InputError(
                f"{prefix}{name} is not an option, got {prefix}{name}={shown(value[name])}; "
                f"{key or 'the config'} takes {options or 'no options'}{near(name, table, prefix)}"
            )
    for name, entry in value.items():
        _check(f"{prefix}{name}", entry, table[name])


def _check_object(key: str, value: object) -> None:
    _expect_mapping(key, value)
    if "_target_" not in value:
        raise InputError(f"{key}._target_ is missing; it must be the dotted name of a class")
    INSTANTIATE["_target_"].check(f"{key}._target_", value["_target_"])
    if value.get("_partial_") is True and key not in ("optimizer", "schedule"):
        raise InputError(f"{key}._partial_ must be false: only optimizer and schedule are completed later, got true")
    table = TARGETS.get(value["_target_"])
    if table is not None:
        _check_keys(key, value, INSTANTIATE | table | ALSO.get(value["_target_"], {}))


def check_training(config: Mapping) -> None:
    """Check what several keys of a training run say together.

    Raises:
        InputError: two keys contradict each other.
    """
    data, trainer = config["data"], config["trainer"]
    points = train_points(data)
    if points is not None and data.get("batch_size", 1) > points:
        raise InputError(f"data.batch_size must be <= {points}, the number of train points, got {data['batch_size']}")
    share = "validation_fraction" if "validation_fraction" in data else "validation_points"
    without_validation = data.get(share, 1) == 0
    if config["evaluate_state"] == "best" and without_validation:
        raise InputError(
            f"evaluate_state=best needs validation data; set data.{share} above 0, got 0, or evaluate_state=last"
        )
    if data.get("validation_fraction", 0) + data.get("test_fraction", 0) >= 1:
        raise InputError(
            "data.validation_fraction and data.test_fraction together must be < 1, "
            f"got {data['validation_fraction']} and {data['test_fraction']}"
        )
    for name, callback in config["callbacks"].items():
        monitor = str((callback or {}).get("monitor", ""))
        if without_validation and monitor.startswith("val/"):
            raise InputError(
                f"callbacks.{name}.monitor={monitor} needs validation data; set data.{share} above 0, got 0, "
                "or monitor train/loss"
            )
    if trainer["max_epochs"] == 0 or trainer["max_steps"] == 0:
        name = "max_epochs" if trainer["max_epochs"] == 0 else "max_steps"
        raise InputError(f"trainer.{name} must be an integer >= 1, or -1 for no limit, got 0")
    if trainer["max_epochs"] == -1 and trainer["max_steps"] == -1:
        raise InputError("trainer.max_epochs=-1 (no limit) needs trainer.max_steps >= 1, got -1")
    if data.get("t_min", 0) > data.get("t_max", 1):
        raise InputError(f"data.t_min must be at most data.t_max={data['t_max']}, got {data['t_min']}")
    if config["optimizer"].get("nesterov") and not config["optimizer"].get("momentum"):
        raise InputError("optimizer.nesterov=true needs optimizer.momentum > 0, got 0")
    warmup = config["schedule"].get("warmup_epochs", 0)
    if 0 < trainer["max_epochs"] <= warmup:
        raise InputError(
            f"schedule.warmup_epochs must be below trainer.max_epochs={trainer['max_epochs']}, got {warmup}"
        )
    weight = config["loss"].get("weight")
    if weight is not None and "arms" in data and len(weight) != data["arms"]:
        raise InputError(f"loss.weight must be a list of {data['arms']}, one a class, got {shown(weight)}")
    if weight is not None and not any(weight):
        raise InputError(f"loss.weight must have an entry above 0, got {shown(weight)}")


def train_points(data: Mapping) -> int | None:
    """Count the train points of a data config, or None where only its file or class knows."""
    table = TARGETS.get(data["_target_"], {})
    each = data.get("points_per_arm", data.get("points_per_class"))
    if each is None or "noise" not in table or "test_fraction" not in data:
        return None
    total = data.get("arms", data.get("classes", 2)) * each
    return total - int(data["test_fraction"] * total)
