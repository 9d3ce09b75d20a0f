"""The run folder: claimed, described, checkpointed and read back. ``mlplab.runs()`` lists the runs there are."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """A package that can be called: ``mlplab.runs(status="finished")``."""

    def __call__(self, logs: str | Path | None = None, **filters: Any) -> Any:
        """List runs; see :func:`mlplab.cli.runs.table_of_runs`."""
        from importlib import import_module

        return import_module("mlplab.cli.runs").table_of_runs(logs, **filters)


sys.modules[__name__].__class__ = _CallablePackage
