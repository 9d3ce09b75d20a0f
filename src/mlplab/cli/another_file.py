"""A trained network on another file: measured on all its rows, or asked for the labels of rows that have none."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from mlplab.cli.results import read_result, write_evaluation
from mlplab.cli.train import metric_lines
from mlplab.config import composition as configs
from mlplab.data.arrays import LabelledData
from mlplab.data.file_module import WholeFile
from mlplab.errors import InputError
from mlplab.population.member_axis import Population
from mlplab.runs.files import write_bytes
from mlplab.runs.folder import RunFolder, open_run
from mlplab.runs.index import Index
from mlplab.training.build import load_population
from mlplab.training.members import network_title
from mlplab.training.results import part_metrics
from mlplab.words import is_option, plural
from mlplab.words import short_path as shown

# Options that describe the other file, besides its path; all others are the run's.
KEYS = ("path", "separator", "header", "missing", "file_sha256")
ROWS = 65_536  # predicted at a time


def options_of(config: Mapping[str, Any], pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Take what is said of the other file from overrides.

    Args:
        config: of the run.
        pairs: overrides as keys and values.

    Raises:
        InputError: a key is said that belongs to the run.
    """
    options = {"separator": None, "header": None, "missing": config["data"].get("missing", "refuse")}
    for key, value in pairs:
        group, _, name = key.partition(".")
        if group == "data" and name not in KEYS:
            raise InputError(
                f"with data.path of another file only data.{', data.'.join(KEYS[1:4])} may be said, got {key}={value}"
            )
        if group == "data" and name != "file_sha256":
            options[name] = value
    return options


def logits_of(network: Population, x: torch.Tensor) -> torch.Tensor:
    """Compute logits (N, C) of inputs (N, *shape), some rows at a time."""
    with torch.no_grad():
        return torch.cat([network.forward(part.to(network.theta)[None])[0].cpu() for part in x.split(ROWS)])


def measure_file(
    folder: RunFolder, config: DictConfig, recorded: Mapping[str, Any], pairs: Sequence[tuple[str, Any]], logs: Path
) -> dict[str, Any]:
    """Measure a run's network on all rows of another file; leave metrics, config and picture in a folder of their own.

    Args:
        folder: the run.
        config: its config.
        recorded: its result, of a version that records how its file was read.
        pairs: overrides, ``data.path`` among them.
        logs: the result goes to ``evaluate/`` in it.
    """
    options = options_of(config, pairs)
    path = configs.place("data.path", options.pop("path"))
    data = WholeFile(path, recorded["data"], **options)
    network = load_population(folder, OmegaConf.to_container(config), data, recorded["evaluated"])
    logits = logits_of(network, data.test.x)
    parts = part_metrics({"test": logits, "fresh": None, "validation": None, "train": None}, data)
    found = {
        "overrides": [f"data.path={path}"],
        "evaluated": recorded["evaluated"],
        "data_sha256": data.sha256,
        "class_names": list(data.class_names),
        "feature_names": list(data.feature_names),
        **parts,
    }
    changed = OmegaConf.create(OmegaConf.to_container(config))
    changed.data.path, changed.data.file_sha256 = str(path), data.sha256
    target, result = write_evaluation(folder, logs, data.sha256, changed, found)
    both = result | {"own": recorded.get("test")}
    print("\n".join(metric_lines(both, {"own": "its own test points", "test": f"all rows of {path.name}"})))
    print(f"\nfolder   {shown(target.path)}")
    image = picture(network, data, logits, recorded, f"{network_title(network.member(0))} on {path.name}")
    if image is not None:
        write_bytes(target.figures / "evaluation.png", image)
        print(f"picture  {shown(target.figures / 'evaluation.png')}")
    return result


def picture(
    network: Population, data: WholeFile, logits: torch.Tensor, recorded: Mapping[str, Any], title: str
) -> bytes | None:
    """Draw the file's rows over the network's map, as PNG; None where the inputs are no plane."""
    from mlplab.plots.decision_map import decision_map
    from mlplab.plots.run_figures import summary
    from mlplab.plots.style import png_bytes
    from mlplab.training.plane import plane_of

    stand_in = _AsTrained(data)
    plane = plane_of(stand_in)
    if plane is None:
        return None
    resolution = 128
    grid = logits_of(network, plane.inputs(resolution)).softmax(1).float().reshape(resolution, resolution, -1).numpy()
    predicted, labels = logits.argmax(1).numpy(), data.test.y.numpy()
    wrong = int((predicted != labels).sum())
    words = summary(1 - wrong / len(labels), wrong, len(labels), split="evaluation")
    figure = decision_map(
        grid,
        plane.extent,
        plane.points(data.test.x),
        labels,
        title=title,
        predicted=predicted,
        split="evaluation",
        subtitle=f"{words}  ·  {plane.remark}" if plane.remark else words,
        class_names=data.class_names,
        axis_names=plane.names,
    )
    return png_bytes(figure)


class _AsTrained(LabelledData):
    """A whole file where a plane asks for train points as well."""

    def __init__(self, data: WholeFile):
        self.data, self.train, self.test, self.validation = data, data.test, data.test, None
        self.input_shape, self.feature_names = data.input_shape, data.feature_names
        self.to_units, self.to_inputs = data.to_units, data.to_inputs


def predict(words: Sequence[str]) -> int:
    """Write a label and probabilities for each row of a file: ``predict RUN_FOLDER data.path=new.csv [output=FILE]``.

    The CSV has a row a row of the file, in its order: ``row`` (from 1), ``predicted``, and ``p(CLASS)`` for each class.
    It goes to ``logs/predict``, or to `output`. The file needs no label column.

    Returns:
        0.

    Raises:
        InputError: no run folder, a run that was not trained on a file, an option that is none, a file that does not
            fit it.
    """
    from mlplab.cli.runs import logs_of
    from mlplab.runs.find import run_folder

    if not words or words[0].startswith("-") or is_option(words[0]):
        raise InputError("predict must be given a run folder: predict RUN_FOLDER data.path=new.csv [output=FILE]")
    folder = open_run(run_folder(words[0], logs_of(words[1:]), "train"))
    config = configs.load_recorded(folder.config)
    recorded = file_result(folder)
    pairs = configs.parse_overrides(words[1:])
    given = dict(pairs)
    if "data.path" not in given:
        raise InputError("predict must be given data.path=FILE, the rows to predict")
    for key in given:
        if key.partition(".")[0] not in ("data", "paths") and key != "output":
            raise InputError(
                f"predict takes data.path, data.separator, data.header, output and paths.logs, got {key}={given[key]}"
            )
    options = options_of(config, pairs)
    path = configs.place("data.path", options.pop("path"))
    options.pop("missing")  # each row has an answer; a missing value is filled as the run fills it, or refused
    torch.set_num_threads(config.trainer.threads)
    data = WholeFile(path, recorded["data"], labelled=False, **options)
    network = load_population(folder, OmegaConf.to_container(config), data, recorded["evaluated"])
    probabilities = logits_of(network, data.inputs).double().softmax(1)
    logs = configs.place("paths.logs", str(given.get("paths.logs", configs.logs_folder())))
    output = given.get("output")
    target = (
        logs / "predict" / f"{folder.name}-{data.sha256[:8]}.csv"
        if output is None
        else configs.place("output", str(output))
    )
    write_bytes(target, csv_lines(probabilities, data.class_names))
    counts = torch.bincount(probabilities.argmax(1), minlength=data.classes).tolist()
    found = ", ".join(f"{name} {count:,}" for name, count in list(zip(data.class_names, counts))[:12])
    print(f"{plural(len(probabilities), 'row')} of {path.name}: {found}\n{shown(target)}")
    return 0


def file_result(folder: RunFolder) -> dict[str, Any]:
    """Read the result of a run on a file.

    Raises:
        InputError: the run has not finished, or is not on a file of which it records how it was read.
    """
    recorded = read_result(folder)
    if not isinstance(recorded.get("data"), dict):
        raise InputError(
            f"{folder.path} must be a run on a file (data=file) of mlplab 0.2 or later; it records no columns{_such_as()}"
        )
    return recorded


def _such_as() -> str:
    """Name the newest finished run on a file, where there is one."""
    logs = configs.logs_folder()
    index = Index(logs, configs.conf_folder())
    runs = index.runs() if logs.is_dir() else []
    found = [run for run in runs if run.study == "train" and run.status == "finished"]
    found = [run for run in found if index.value(run, "data") == "file"]
    return f"; name such a run, as {shown(logs / found[0].path)}" if found else ""


def csv_lines(probabilities: torch.Tensor, names: Sequence[str]) -> Iterator[bytes]:
    """Write probabilities (N, C) as CSV, some rows at a time."""
    head = io.StringIO()
    csv.writer(head, lineterminator="\n").writerow(["row", "predicted", *(f"p({name})" for name in names)])
    yield head.getvalue().encode()
    for start in range(0, len(probabilities), ROWS):
        part = probabilities[start : start + ROWS]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for row, (k, values) in enumerate(zip(part.argmax(1).tolist(), part.tolist()), start + 1):
            writer.writerow([row, names[k], *(f"{value:.6g}" for value in values)])
        yield text.getvalue().encode()
