"""How a run goes on later: ``resume=RUN_FOLDER``, also to a length that it did not have."""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mlplab.cli.door import go_on, resume_hint
from mlplab.config import composition as configs
from mlplab.config.messages import keys_of, near_key
from mlplab.errors import InputError
from mlplab.rules import shown
from mlplab.runs.files import read_plain
from mlplab.runs.folder import RunFolder, claimed, open_run, owned
from mlplab.runs.identity import config_digest
from mlplab.runs.manifest import is_alive, read_status
from mlplab.words import short_path


def resume(command: str, load: Callable[[], Callable], study: str, path: str, overrides: Sequence[str]) -> Any:
    """Go on in a run folder with the config recorded there, its ``resume.folder`` set.

    Args:
        command: such as ``"train"``.
        load: imports the study, a function of the config and the folder.
        study: its root config, such as ``"train"``.
        path: the run folder.
        overrides: further options; each must say what the folder recorded.

    Raises:
        InputError: no run folder, a damaged one, a run that is still going, or an option that differs.
    """
    folder = open_run(path)
    with owned(folder.path):
        config = configs.load_recorded(folder.config, study)
        longer = _longer(config, overrides) if folder.result.is_file() else {}
        _expect_same(folder.path, config, [text for text in overrides if text.partition("=")[0] not in longer])
        _expect_ended(folder)
        if longer:
            return extend(command, load, folder, config, longer)
        if folder.status.is_file() and read_status(folder.path).get("status") == "finished" and "trainer" in config:
            print(
                f"nothing is left to train: {short_path(folder.path)} has finished; "
                f"{go_on(command, folder.path)} trainer.max_epochs=N makes a longer run of it",
                file=sys.stderr,
            )
        resumed = OmegaConf.merge(config, {"resume": {"folder": str(folder.path.resolve())}})
        with resume_hint(command, folder.path):
            return load()(resumed, folder.path.resolve())


def _expect_ended(folder: RunFolder) -> None:
    """Refuse a run that another machine, to which the lock may mean nothing, is still at work on."""
    status = read_status(folder.path) if folder.status.is_file() else {"status": "failed"}
    if is_alive(status):
        where = f"as process {status['pid']} on {status['host']}"
        raise InputError(f"resume must be a run that has ended, got {folder.path}, which still runs {where}")


# The options by which a run that goes on may be made longer.
LENGTHS = ("trainer.max_epochs", "trainer.max_steps")


def _longer(config: DictConfig, overrides: Sequence[str]) -> dict[str, int]:
    """Give the lengths among the overrides that are larger than the recorded ones, by key."""
    longer = {}
    for key, value in configs.parse_overrides(overrides):
        if key in LENGTHS and isinstance(value, int):
            recorded = OmegaConf.select(config, key)
            if recorded is not None and 0 < recorded < value:
                longer[key] = value
    return longer


def extend(
    command: str, load: Callable[[], Callable], old: RunFolder, config: DictConfig, longer: Mapping[str, int]
) -> Any:
    """Make a longer run of a finished one, in a folder of its own beside it; the old folder stays as it is.

    Args:
        command: such as ``"train"``.
        load: imports the study.
        old: the run.
        config: its config.
        longer: new lengths by key.

    Raises:
        InputError: the run has no checkpoint, or it ended before its last epoch.
    """
    changed = configs.override(config, [f"{key}={value}" for key, value in longer.items()])
    if not (old.checkpoints / "last.ckpt").is_file():
        raise InputError(f"{short_path(old.path)} has no checkpoint to resume from; start a new run")
    if str(changed.schedule.get("_target_", "")).rpartition(".")[2] not in LENGTHLESS:
        print(
            f"the schedule {changed.schedule['_target_'].rpartition('.')[2]} depends on the length: the run continues along that of "
            f"{', '.join(f'{key}={value}' for key, value in longer.items())}, and ends elsewhere than one of that length from the start",
            file=sys.stderr,
        )
    digest = config_digest(OmegaConf.to_container(changed))
    payloads = read_state(old, config_digest(OmegaConf.to_container(config)))
    with claimed(old.path.parent, f"{old.path.name[:60]}-{digest[:8]}") as place:
        copy_state(old, RunFolder(place), payloads, digest)
        print(f"folder: {short_path(place)}, from {short_path(old.path)}", file=sys.stderr)
        resumed = OmegaConf.merge(changed, {"resume": {"folder": str(place.resolve())}})
        with resume_hint(command, place):
            return load()(resumed, place.resolve())


def read_state(old: RunFolder, digest: str) -> dict[str, Any]:
    """Read what a run goes on from: its checkpoints by file name.

    Raises:
        InputError: a checkpoint is damaged, of another run, or of one that stopped early.
    """
    from mlplab.runs import checkpoint

    payloads = {}
    for name in ("best.ckpt", "last.ckpt"):
        path = old.checkpoints / name
        if not path.is_file():
            continue
        payloads[name] = checkpoint.load(path)
        own = payloads[name].get("mlplab")
        if not isinstance(own, dict) or own.get("config_digest") != digest:
            raise InputError(f"the checkpoint {path} is of another config than {old.config}")
        if own.get("stop"):
            raise InputError(
                f"{short_path(old.path)} ended early ({own['stop']['reason']}); a longer run would end there too"
            )
    return payloads


def copy_state(old: RunFolder, new: RunFolder, payloads: Mapping[str, Any], digest: str) -> None:
    """Copy what a run goes on from into a new folder, its checkpoints under the digest of the new config."""
    from mlplab.runs import checkpoint

    for name, payload in payloads.items():
        own = payload["mlplab"] | {"config_digest": digest}
        checkpoint.save(new.checkpoints / name, payload | {"mlplab": own})
    for path in (old.path / "metrics.csv", old.manifest, old.tensorboard, old.figures / "epochs"):
        target = new.path / path.relative_to(old.path)
        if path.is_dir():
            shutil.copytree(path, target)
        elif path.is_file():
            shutil.copyfile(path, target)
    OmegaConf.save(OmegaConf.load(old.config), new.config)


# The schedules whose factor at a step does not depend on how long the training is.
LENGTHLESS = ("Constant", "Step", "StepLR", "MultiStepLR", "ExponentialLR", "ReduceLROnPlateau")


def _expect_same(folder: Path, config: DictConfig, overrides: Sequence[str]) -> None:
    """Refuse overrides that differ from what the run folder recorded."""
    choices = _choices(folder / ".hydra" / "hydra.yaml") if overrides else {}
    known = keys_of(config)
    for key, value in configs.parse_overrides(overrides):
        if key in choices and not isinstance(value, dict):
            recorded = choices[key]
        elif key in known:
            recorded = OmegaConf.select(config, key)
            recorded = OmegaConf.to_container(recorded) if OmegaConf.is_config(recorded) else recorded
        else:
            raise InputError(f"{key} is not an option, got {key}={shown(value)}{near_key(key, known)}")
        if key == "paths.logs":
            continue
        if recorded != value:
            raise InputError(
                f"{key} must be {shown(recorded)}, as in the run that is resumed, got {shown(value)}; "
                "leave it out, or start a new run"
            )


def _choices(path: Path) -> dict[str, str | None]:
    """Read what was chosen of each group; nothing where Hydra recorded nothing."""
    if not path.is_file():
        return {}
    try:
        return dict(read_plain(path.read_bytes())["hydra"]["runtime"]["choices"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged: it does not say hydra.runtime.choices") from error
