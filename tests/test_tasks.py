"""What teachers and students want to do: each task in at most two commands, and each command shown by --help or a README."""

import json
import re
import shutil

import pytest
from readmes import TEXT

import mlplab
from mlplab.cli import help as helping
from mlplab.cli.app import main
from mlplab.cli.commands import COMMANDS

QUICK = [
    "data.points_per_arm=60",
    "data.batch_size=48",
    "data.fresh_points=400",
    "data.validation_points=80",
    "trainer.max_epochs=4",
    "launcher=inline",
    "callbacks.progress=null",
]
# Words that stand in --help or a README as they are, but for the name of a run.
SHOWN = [
    ["playground"],  # the map against depth, live: model.depth as an axis of the page
    ["train -m model.activation=relu,tanh seed=0,1,2,3,4", "report last"],
    ["train -m experiment=noise", "report last"],
    ["train data=moons", "train --help data=spiral"],
    ["train resume=logs/train/NAME trainer.max_epochs=150"],
    ["runs", "runs best"],
    ["runs clean"],
    ["compare 1a2b3c4d 9f8e7d6c"],
    ["evaluate logs/train/NAME", "reproduce logs/train/NAME"],  # on another machine: the folder holds everything
    ["train -m launcher=submitit 'launcher.options={slurm_partition: short}'"],
    ["redraw 1a2b3c4d decision_map format=pdf"],
    ["train --help model=mlp"],
]


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    logs = tmp_path_factory.mktemp("logs")
    assert main(["train", "name=one", "seed=7", f"paths.logs={logs}", *QUICK]) == 0
    assert main(["train", "name=two", "model.width=8", f"paths.logs={logs}", *QUICK]) == 0
    return logs


def said(capsys, *words):
    """Run a command, which must do, and give what it printed."""
    capsys.readouterr()
    assert main(list(words)) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("commands", SHOWN, ids=lambda commands: commands[0])
def test_the_commands_of_a_task_are_at_most_two_and_shown(commands, capsys):
    text = TEXT + "".join(helping.command_help(name) for name in helping.COMMANDS)
    for name in ("runs", "compare", "redraw", "tensorboard"):
        text += said(capsys, name, "--help")
    assert len(commands) <= 2
    for command in commands:
        name, *words = command.split()
        assert name in COMMANDS and re.search(rf"\b{name}\b", text)
        missing = [word for word in words if word not in text and word.replace("data=spiral", "data=moons") not in text]
        assert missing == [], f"{command}: nobody is told of {missing}"


def test_relu_or_tanh_over_five_seeds_ends_in_a_sentence_that_is_true(logs, capsys):
    said(
        capsys, "train", "-m", "model.activation=relu,tanh", "seed=0,1,2,3,4", "sweep=act", f"paths.logs={logs}", *QUICK
    )
    said(capsys, "report", str(logs / "sweep" / "act"))
    text = (logs / "sweep" / "act" / "sweep.md").read_text(encoding="utf-8")
    assert re.search(r"Selected setting: activation=(relu|tanh)", text)
    assert ("Not significantly different from it" in text) != ("Every other setting is worse" in text)


def test_noise_stands_beside_its_limit(logs, capsys):
    said(
        capsys,
        "train",
        "-m",
        "experiment=noise",
        "data.noise=0.1,0.4",
        "seed=0",
        "sweep=noise",
        f"paths.logs={logs}",
        *QUICK,
    )
    out = said(capsys, "report", str(logs / "noise" / "noise"))
    rows = (logs / "noise" / "noise" / "sweep.csv").read_text(encoding="utf-8").splitlines()
    assert (
        len(rows) == 7 and "bayes" in rows[0] and "Each after its own tuning" in out
    )  # two levels, each at three rates


def test_three_arms_are_one_word(logs, capsys):
    assert "arms" in said(capsys, "train", "--help", "data=spiral")
    said(capsys, "train", "data.arms=3", "name=three", f"paths.logs={logs}", *QUICK)
    assert mlplab.load(logs / "train" / "three").data.classes == 3


def test_fifty_epochs_more(logs, capsys):
    out = said(capsys, "train", f"resume={logs / 'train' / 'one'}", "trainer.max_epochs=6")
    assert "6 epochs" in out
    assert (
        json.loads((logs / "train" / "one" / "result.json").read_text())["epochs"] == 4
    )  # the first run stays as it was


def test_runs_are_listed_the_best_is_found_and_nothing_good_is_cleaned_up(logs, capsys):
    digits = [
        json.loads((logs / "train" / name / "result.json").read_text())["config_digest"][:8] for name in ("one", "two")
    ]
    out = said(capsys, "runs", "model.width=8", f"paths.logs={logs}")
    assert digits[1] in out and digits[0] not in out
    assert said(capsys, "runs", "best", f"paths.logs={logs}")
    assert main(["runs", "clean", "yes=true", f"paths.logs={logs}"]) in (0, 2)
    assert (logs / "train" / "two" / "result.json").exists()


def test_two_maps_side_by_side_and_one_as_a_pdf(logs, capsys, tmp_path):
    first, second = (str(logs / "train" / name) for name in ("one", "two"))
    out = said(capsys, "compare", first, second, f"paths.logs={tmp_path}")
    assert "McNemar" in out and list(tmp_path.rglob("*.png"))
    said(capsys, "redraw", first, "decision_map", "format=pdf", "size=column")
    assert list((logs / "train" / "one").rglob("decision_map*.pdf"))


def test_a_run_is_loaded_in_a_notebook(logs):
    run = mlplab.load(logs / "train" / "two")
    assert run.model(run.data.test.x).shape == (len(run.data.test.y), 4) and run.config["model"]["width"] == 8
    mlplab.draw_decision_map(run.model, run.data, resolution=16).savefig(logs / "map.png")
    assert (logs / "map.png").stat().st_size > 10_000


def test_a_run_is_measured_on_another_machine(logs, capsys, tmp_path):
    shutil.copytree(logs / "train" / "two", tmp_path / "elsewhere" / "two")
    out = said(capsys, "evaluate", str(tmp_path / "elsewhere" / "two"), f"paths.logs={tmp_path}")
    assert re.search(r"fresh +accuracy .* equal", out)


def test_slurm_is_asked_for_by_name_and_refused_where_it_is_not(logs, capsys):
    words = ["-m", "seed=0,1", "launcher=submitit", "launcher.options={slurm_partition: short}", f"paths.logs={logs}"]
    assert main(["train", *words]) == 2
    assert re.search("no Slurm here|needs submitit", " ".join(capsys.readouterr().err.split()))


def test_what_a_model_can_take(capsys):
    out = said(capsys, "train", "--help", "model=mlp")
    assert "hidden layers; 0 is a linear classifier" in out and "activation: relu" in out
