"""A study that trains nothing: its objects, built from its config, and its run folder with figures, arrays and result."""

import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from mlplab.errors import InputError
from mlplab.plots.style import png_bytes, vector_bytes
from mlplab.runs.events import TensorBoardWriter
from mlplab.runs.files import write_bytes, write_json, write_text
from mlplab.runs.folder import RunFolder
from mlplab.runs.manifest import collect, write_status
from mlplab.runs.signals import at_the_end


class Recording:
    """What a study leaves behind, written as it comes.

    Attributes:
        folder: the run folder.
        started: `time.perf_counter()` at the beginning.
    """

    def __init__(self, config: Mapping[str, Any], folder: str | Path, data_sha256: str | None = None) -> None:
        self.folder = RunFolder(Path(folder))
        self.config = OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else dict(config)
        self.started = time.perf_counter()
        text = OmegaConf.to_yaml(OmegaConf.create(self.config))
        write_text(self.folder.config, text)
        write_json(self.folder.manifest, collect(self.config, data_sha256=data_sha256))
        write_status(self.folder.path, "running")
        self.board = TensorBoardWriter(self.folder.tensorboard, flush_every_s=float("inf"))
        self.board.log_config(text)
        self.board.log_hyperparams({k: v for k, v in self.config.items() if k not in ("paths", "name", "resume")})

    def figure(self, name: str, figure: Any, arrays: Mapping[str, Any]) -> Path:
        """Save a figure as PNG, show it in TensorBoard, and keep the arrays from which it can be redrawn."""
        data = png_bytes(figure)
        path = self.folder.figures / f"{name}.png"
        write_bytes(path, data)
        for form in set(self.config.get("figure_formats") or ()) - {"png"}:
            write_bytes(path.with_suffix(f".{form}"), vector_bytes(figure, form))
        self.board.log_image(name, data, 0)
        np.savez_compressed(self.folder.figures / f"{name}.npz", **arrays)
        return path

    def finish(self, metrics: Mapping[str, float], result: Mapping[str, Any]) -> dict[str, Any]:
        """Write ``result.json`` and the final metrics; the status says finished.

        Returns:
            The result with status, name and seconds.
        """
        seconds = {"total": time.perf_counter() - self.started}
        record = {"status": "finished", "name": self.folder.name, **result, **metrics, "seconds": seconds}
        self.board.log_final(metrics, 0)
        write_json(self.folder.result, record)
        write_status(self.folder.path, "finished")
        return record


@contextmanager
def recording(config: Mapping[str, Any], folder: str | Path, data_sha256: str | None = None) -> Iterator[Recording]:
    """Record a study in its claimed run folder; its status tells how it ended.

    An InputError passes through with the folder as it is: the command line removes it.
    """
    run = Recording(config, folder, data_sha256)
    try:
        with at_the_end(lambda: write_status(run.folder.path, "interrupted")):
            yield run
    except KeyboardInterrupt:
        write_status(run.folder.path, "interrupted")
        raise
    except InputError:
        raise
    except BaseException as error:
        write_status(run.folder.path, "failed", "".join(traceback.format_exception(error)))
        raise


def build(node: Mapping[str, Any], key: str) -> Any:
    """Build the object that a config node names, by ``hydra.utils.instantiate``.

    Args:
        node: a mapping with ``_target_``.
        key: where it stands, for the error, such as ``"neuron"``.

    Raises:
        InputError: the class is not found or refuses its arguments; one line.
    """
    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__ or error
        while cause.__cause__ is not None and not isinstance(cause, InputError):
            cause = cause.__cause__
        asked = (InstantiationException, ImportError, AttributeError, TypeError, ValueError)
        if isinstance(cause, InputError) or not isinstance(cause, asked):
            raise cause from error
        reason = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
        raise InputError(f"{key}._target_={node.get('_target_')} cannot be built: {reason}") from error
