"""The Bayes log posterior on a set of points, computed once for all processes of a sweep."""

import io
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mlplab.data.bayes import MixtureDensity, log_posterior
from mlplab.errors import InputError
from mlplab.runs.files import write_bytes
from mlplab.runs.fingerprint import tensor_sha256

_folder: Path | None = None


def share(folder: str | Path | None) -> None:
    """Keep posteriors in a folder from now on, for other processes too; None ends it."""
    global _folder
    _folder = None if folder is None else Path(folder)


def posterior(x: Tensor, density: MixtureDensity) -> Tensor:
    """Compute the log posterior (N, C) on points x (N, D), or read what a process has left: the same bits."""
    if _folder is None:
        return log_posterior(x, density)
    content = {field.name: getattr(density, field.name) for field in fields(density)}
    path = _folder / f"posterior-{tensor_sha256({'x': x, **content})[:32]}.npy"
    try:
        return torch.from_numpy(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError):
        value = log_posterior(x, density)
    buffer = io.BytesIO()
    np.save(buffer, value.numpy())
    if _folder.is_dir():  # a sweep that has ended took it along
        with suppress(InputError):
            write_bytes(path, buffer.getvalue(), sync=False)
    return value
