"""What a run on a file records besides figures: names, the way of reading, simple classifiers on the same rows."""

from typing import Any

from mlplab.data.baselines import baselines

# Counted once for all runs of a process on the same points.
_counted: dict[str, dict[str, Any]] = {}


def table_facts(data: Any) -> dict[str, Any]:
    """Give ``result.json``'s entries of a file: ``class_names``, ``feature_names``, ``data`` and ``baselines``.

    Args:
        data: a data module, set up. Of data that is of no file only the names are given, where it has some.
    """
    named = {"class_names": data.class_names, "feature_names": data.feature_names}
    names = {name: list(own) for name, own in named.items() if own}
    if (recorded := data.recorded()) is None:
        return names
    if data.sha256 not in _counted:
        _counted.clear()
        _counted[data.sha256] = baselines(data.train, data.test, data.classes)
    return {**names, "data": recorded, "baselines": _counted[data.sha256]}
