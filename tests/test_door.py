"""What Hydra's own keys do in the lab is what they do in any Hydra app, or they are refused by name."""

import errno
import logging
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra.experimental.callback import Callback
from omegaconf import OmegaConf

from mlplab.cli import app
from mlplab.config import composition as configs
from mlplab.errors import InputError
from mlplab.runs.files import write_text
from mlplab.runs.metrics import judged
from mlplab.words import short_path


class Seen(Callback):
    """Remember what Hydra's callbacks are told."""

    events: list = []

    def on_run_start(self, config, **_):
        self.events.append("run start")

    def on_run_end(self, config, **_):
        self.events.append("run end")

    def on_multirun_start(self, config, **_):
        self.events.append("multirun start")

    def on_multirun_end(self, config, **_):
        self.events.append("multirun end")

    def on_job_start(self, config, **_):
        self.events.append(("start", config.seed, config.hydra.job.num if "num" in config.hydra.job else None))

    def on_job_end(self, config, job_return, **_):
        self.events.append(("end", config.seed, job_return.status.name, Path(config.hydra.runtime.output_dir).name))


CALLBACK = "+hydra.callbacks.seen._target_=test_door.Seen"


@pytest.fixture(autouse=True)
def calls(monkeypatch):
    """Put a study that computes nothing in the place of train and lif; give what it was called with."""
    found = []

    def study(config, folder):
        found.append(
            (config, Path(folder), dict(os.environ), Path.cwd(), logging.getLogger().level, short_path(folder))
        )
        OmegaConf.save(config, folder / "config.yaml")
        logging.getLogger("of.the.study").info("a line of the study's")
        status = {1: "diverged", 2: "interrupted"}.get(config.get("seed") if "data" in config else 0, "finished")
        return {"status": status, "validation": {"nll": 0.25}}

    real = app.load_study
    monkeypatch.setattr(app, "load_study", lambda name: real(name) if ".app:" in name else study)
    monkeypatch.setattr("mlplab.studies.lif.study.lif", study)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    Seen.events.clear()
    yield found
    for handler in root.handlers:
        if handler not in before:
            handler.close()
    root.handlers[:], root.level = before, level


def run(tmp_path, *words, command="train"):
    return app.main([command, f"paths.logs={tmp_path / 'logs'}", *words])


def test_hydra_run_dir_is_the_run_folder(calls, tmp_path, capsys):
    place = tmp_path / "a b, 'ü'"
    assert run(tmp_path, f"hydra.run.dir={place}") == 0
    assert calls[0][1] == place and not (tmp_path / "logs").exists()
    assert run(tmp_path, f"hydra.run.dir={place}") == 2
    assert "holds a run already; continue with resume=" in capsys.readouterr().err
    assert len(calls) == 1


def test_hydra_run_dir_may_name_what_hydra_knows_of_the_job(calls, tmp_path):
    """As in Hydra's documentation: ``hydra.run.dir=outputs/${hydra.job.name}``."""
    assert run(tmp_path, f"hydra.run.dir={tmp_path}/${{hydra.job.name}}-${{seed}}", "seed=3") == 0
    assert (
        run(tmp_path, "-m", "seed=0,1", "launcher=inline", f"hydra.sweep.dir={tmp_path}/all-${{hydra.job.name}}") == 0
    )
    assert {"train-3", "all-train"} <= {path.name for path in tmp_path.iterdir()}


def test_hydra_run_dir_may_be_a_folder_that_is_there_and_stays(tmp_path, capsys, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").touch()
    monkeypatch.setattr(app, "load_study", lambda name: 1 / 0)
    assert run(tmp_path, f"hydra.run.dir={tmp_path / 'mine'}") == 1
    assert (tmp_path / "mine" / "notes").exists()


def test_a_folder_that_is_there_is_as_it_was_after_a_refusal(tmp_path, capsys, monkeypatch):
    (tmp_path / "mine" / "own").mkdir(parents=True)
    (tmp_path / "mine" / "notes").touch()

    def refusing(config, folder):
        write_text(folder / "config.yaml", "")
        (folder / "tensorboard").mkdir()
        raise InputError("Lightning says no")

    monkeypatch.setattr(app, "load_study", lambda name: refusing)
    assert run(tmp_path, f"hydra.run.dir={tmp_path / 'mine'}") == 2
    assert "Lightning says no" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "mine").rglob("*")} == {"own", "notes"}


@pytest.mark.parametrize(
    "name", ["JOB_NUMBER_logs", "OUTPUT_DIR", "a b ü-x", 'it\'s "so"', "a,b", "[a]", "x=1", "909909909"]
)
def test_a_log_folder_of_any_name_is_taken_as_it_is_typed(calls, tmp_path, name):
    logs = tmp_path / name
    assert app.main(["train", f"paths.logs={logs}"]) == 0
    assert app.main(["lif", "-m", f"paths.logs={logs}", "seed=0,1", "launcher=inline"]) == 0
    assert len(calls) == 3
    for config, folder, *_ in calls:
        assert folder.is_relative_to(logs) and config.paths.logs == str(logs)
        own = yaml.safe_load((folder / ".hydra" / "hydra.yaml").read_text())["hydra"]
        assert own["runtime"]["output_dir"] == str(folder)
    numbers = [
        yaml.safe_load((call[1] / ".hydra" / "hydra.yaml").read_text())["hydra"]["job"]["num"] for call in calls[1:]
    ]
    assert numbers == [0, 1]


def test_output_subdir_says_where_hydra_records_a_job(calls, tmp_path):
    for command, words in (("train", []), ("lif", ["-m", "launcher=inline"])):
        assert run(tmp_path, *words, "seed=0", "hydra.output_subdir=meta", command=command) == 0
        assert {path.name for path in (calls[-1][1] / "meta").iterdir()} == {
            "config.yaml",
            "hydra.yaml",
            "overrides.yaml",
        }
        assert not (calls[-1][1] / ".hydra").exists()
        assert run(tmp_path, *words, "seed=3", "hydra.output_subdir=null", command=command) == 0
        assert [path.name for path in calls[-1][1].iterdir() if path.is_dir()] == []


def test_logging_is_as_hydra_is_told(calls, tmp_path):
    assert run(tmp_path, "hydra/job_logging=default") == 0
    assert "a line of the study's" in (calls[0][1] / "train.log").read_text()
    assert run(tmp_path, "hydra/job_logging=default", "hydra.job.name=mine", "hydra.verbose=true") == 0
    assert (calls[1][1] / "mine.log").exists() and calls[1][4] == logging.DEBUG


def test_callbacks_see_a_run(tmp_path):
    assert run(tmp_path, CALLBACK, "name=one") == 0
    assert Seen.events == ["run start", ("start", 0, None), ("end", 0, "COMPLETED", "one"), "run end"]


@pytest.mark.parametrize("launcher", [[], ["hydra/launcher=basic"]], ids=["population", "basic"])
def test_callbacks_see_every_job_of_a_sweep(tmp_path, launcher):
    words = ["-m", "seed=0,5", "launcher=inline", CALLBACK, *launcher]
    assert run(tmp_path, *words, command="lif") == 0
    first, *jobs, last = Seen.events
    assert (first, last) == ("multirun start", "multirun end")
    assert jobs[0::2] == [("start", 0, 0), ("start", 5, 1)]
    assert [event[:3] for event in jobs[1::2]] == [("end", 0, "COMPLETED"), ("end", 5, "COMPLETED")]
    assert len({event[3] for event in jobs[1::2]}) == 2
    if not launcher:  # those that an earlier call did are shown to them as well
        Seen.events.clear()
        assert run(tmp_path, *words, command="lif") == 0
        assert len(Seen.events) == 6


@pytest.mark.parametrize("words", [[], ["-m", "launcher=inline"]], ids=["run", "sweep"])
def test_the_environment_is_set_while_a_job_runs(calls, tmp_path, words):
    assert run(tmp_path, *words, "+hydra.job.env_set.OF_THE_JOB=yes", command="lif") == 0
    assert calls[0][2]["OF_THE_JOB"] == "yes" and "OF_THE_JOB" not in os.environ


def test_a_job_may_run_in_its_folder(calls, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert app.main(["train", "paths.logs=here", "hydra.job.chdir=true"]) == 0
    assert calls[0][3] == calls[0][1] and calls[0][0].paths.logs == str(tmp_path / "here")
    assert Path.cwd() == tmp_path
    assert tmp_path / calls[0][5] == calls[0][1] and calls[0][5].startswith("here/")  # as it can be copied


def test_the_folders_of_a_sweep(calls, tmp_path, capsys):
    words = ["-m", "seed=0,5", f"hydra.sweep.dir={tmp_path / 'of mine'}"]
    assert run(tmp_path, *words, "launcher=inline", command="lif") == 0
    assert {call[1].parent for call in calls} == {tmp_path / "of mine"}
    assert run(tmp_path, *words, "hydra.sweep.subdir=job${hydra.job.num}", command="lif") == 2
    assert "hydra.sweep.subdir is the lab's to choose" in capsys.readouterr().err
    assert run(tmp_path, *words, "hydra.sweep.subdir=job${hydra.job.num}", "hydra/launcher=basic", command="lif") == 0
    assert [call[1].name for call in calls[2:]] == ["job0", "job1"]


def test_another_launchers_jobs_get_folders_of_their_own(calls, tmp_path, capsys):
    words = ["-m", "seed=0,5", "hydra/launcher=basic", "sweep=mine"]
    assert run(tmp_path, *words) == 0 and run(tmp_path, *words) == 0
    assert capsys.readouterr().err.endswith(f"mlplab report {tmp_path / 'logs' / 'sweep' / 'mine'}\n")
    names = [call[1].name for call in calls]
    assert len(set(names)) == 4 and names[2] == f"{names[0]}-2"
    assert {call[1].parent for call in calls} == {tmp_path / "logs" / "sweep" / "mine"}


@pytest.mark.parametrize(("seeds", "code"), [("0,5", 0), ("1,1", 1), ("0,1", 1), ("0,2", 130)])
def test_the_exit_code_of_a_sweep_of_another_launcher_says_what_came_of_its_jobs(tmp_path, seeds, code):
    assert run(tmp_path, "-m", "hydra/launcher=basic", f"seed={seeds}") == code


def test_a_job_returns_its_objective(tmp_path, monkeypatch):
    returned = []

    class Told(Seen):
        def on_job_end(self, config, job_return, **_):
            returned.append(job_return.return_value)

    monkeypatch.setattr("test_door.Seen", Told)
    for words in (["seed=0"], ["seed=1"], ["seed=0", "search.objective=[validation/nll,test/accuracy]"]):
        run(tmp_path, CALLBACK, *words)
    assert returned[0] == 0.25 and isinstance(returned[0], float) and returned[1] == math.inf
    assert returned[2][0] == 0.25 and math.isnan(returned[2][1])
    assert judged({"status": "diverged"}, "test/accuracy") == -math.inf


def test_a_config_may_say_that_it_is_a_sweep(calls, tmp_path):
    assert run(tmp_path, "hydra.mode=MULTIRUN", "seed=0,5", "launcher=inline", command="lif") == 0
    assert len(calls) == 2


COMPLETE = """
eval "$({python} -m mlplab.cli.app train -sc install=bash)"
mlplab() {{ {python} -m mlplab.cli.app "$@"; }}
complete_line() {{
    COMP_LINE="$1"; COMP_POINT=${{#1}}; COMPREPLY=()
    _mlplab
    echo "${{COMPREPLY[*]}}"
}}
complete_line "mlplab tr"
complete_line "mlplab train model.wid"
complete_line "mlplab train seed=1 optimizer="
complete_line "mlplab report x"
complete_line "mlplab train --config-dir mine data="
complete_line "mlplab train -cd=mine seed=1 data=str"
complete_line "mlplab train ~callbacks.dec"
complete_line "mlplab train ~callbacks."
complete_line "mlplab train ++model.wid"
complete_line "mlplab train ~sch"
"""


def test_tab_completes_commands_keys_and_options(tmp_path):
    script = COMPLETE.format(python=sys.executable)
    (tmp_path / "mine" / "data").mkdir(parents=True)
    (tmp_path / "mine" / "data" / "stripes.yaml").write_text("_target_: stripes.StripesDataModule\n")
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert done.stderr == ""
    commands, keys, options, nothing, own, begun, removed, entries, forced, group = done.stdout.split("\n")[:10]
    assert "data=stripes" in own.split() and "data=spiral" in own.split() and begun == "data=stripes"
    assert removed == "~callbacks.decision_maps." and "~callbacks.early_stopping" in entries.split()
    assert forced == "++model.width=" and group.split() == ["~schedule.", "~schedule"]
    assert commands == "train" and keys == "model.width=" and nothing == ""
    assert options.split() == ["optimizer=adam", "optimizer=adamw", "optimizer=sgd"]


def test_completion_for_an_unknown_shell_is_refused(capsys):
    assert app.main(["train", "-sc", "install=tcsh"]) == 2
    assert "--shell-completion (-sc) must be followed by install=bash" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--resolve"], "--resolve goes with --cfg"),
        (["--package=x"], "--package goes with --cfg"),
        (["--cfg=job", "--package=x"], "--package must be a key of the config, got x"),
        (["--cfg=hydra", "--package=model"], "--package must be a key of the config, got model"),
        (["--info", "junk"], "options must be KEY=VALUE, got 'junk'"),
        (["--info", "model.widht=3"], "did you mean model.width?"),
        (["--cfg=job", "--info"], "give one of --cfg and --info at a time"),
        (["data=[1,2]"], "data must be the name of an option, got 'data=[1,2]'"),
        (["data=" + "x" * 5000], "the name of an option is too long, got data=xxx"),
        (["resume=" + "x" * 5000], "File name too long"),
        (["resume=\u2028"], "got '\\u2028'"),
        (["+data=[" + "1," * 5000 + "1]"], "+data must have at most 2,000 entries on a command line, got 5,001"),
        (["--shell-completion"], "--shell-completion (-sc) must be followed by install=bash"),
        (["model.width=\x1b[31mred"], "model.width must be an integer >= 1, got '\\x1b[31mred'"),
        (["hydra.verbose=nan"], "hydra.verbose must be true, false, or the names of loggers, got nan"),
        (["hydra.job.name=${nope}"], "hydra.job.name cannot be resolved"),
        (["+model.token=hunter22"], "model.token looks like a secret"),
        (["+x=[{a: {auth: hunter22}}]"], "auth looks like a secret"),
        (["+model.db=postgres://me:hunter22@host/x"], "model.db: the address looks like a secret"),
        (["-m", "+logger.passphrase=hunter22"], "logger.passphrase looks like a secret"),
    ],
)
def test_what_a_person_types_is_answered_in_one_short_line(calls, tmp_path, capsys, words, part):
    assert run(tmp_path, *words) == 2
    captured = capsys.readouterr()
    assert part in captured.err and captured.err.count("\n") == 1 and len(captured.err) < 700
    assert not {"hunter22", "\x1b"} & {text for text in ("hunter22", "\x1b") if text in captured.err + captured.out}
    assert not calls and not (tmp_path / "logs").exists()


def test_an_override_keeps_its_interpolation_and_a_later_one_counts(calls, tmp_path):
    assert run(tmp_path, "model.width=${nope}", "model.width=4", "model.depth=${seed}", "seed=5") == 0
    recorded = yaml.safe_load((calls[0][1] / ".hydra" / "overrides.yaml").read_text())
    assert "model.depth=${seed}" in recorded and calls[0][0].model.depth == 5


def test_a_disk_that_fails_under_hydras_own_writing_is_answered_in_one_line(monkeypatch, tmp_path, capsys):
    def full(config, name, folder):
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / name))

    monkeypatch.setattr("hydra.core.utils._save_config", full)
    assert app.main(["train", f"paths.logs={tmp_path / 'logs'}"]) == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told and re.fullmatch(
        r"mlplab: cannot write .*config.yaml: No space left on device", told.splitlines()[-1]
    )
    assert not (tmp_path / "logs").exists() and os.environ.get("HYDRA_FULL_ERROR") is None


def test_logging_that_cannot_be_set_up_is_answered_in_one_line(tmp_path, capsys):
    assert app.main(["train", "hydra.job_logging.handlers.console.class=nope", f"paths.logs={tmp_path / 'logs'}"]) == 2
    told = capsys.readouterr().err
    assert (
        told.splitlines()[-1].startswith("mlplab: hydra.job_logging cannot be set up so: ") and "Traceback" not in told
    )
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize("command", ["train", "lif", "relu_approximation"])
def test_a_config_is_shown_resolved(tmp_path, capsys, command):
    logs = str(tmp_path / "logs")
    shown = {}
    for part in ("job", "hydra", "all"):
        assert run(tmp_path, "--cfg", part, "--resolve", "seed=3", command=command) == 0
        shown[part] = yaml.safe_load(capsys.readouterr().out)
    plain = configs.resolved(configs.compose(command, ["seed=3", f"paths.logs={logs}"]))
    assert shown["job"].keys() == plain.keys() and shown["job"]["seed"] == 3
    assert shown["hydra"]["hydra"]["run"]["dir"] == shown["job"]["paths"]["logs"] == logs
    assert {key: value for key, value in shown["all"].items() if key != "hydra"} == shown["job"]
    assert run(tmp_path, "--cfg", "job", "--resolve", "--package=paths", command=command) == 0
    assert yaml.safe_load(capsys.readouterr().out) == {"logs": logs}
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize("part", ["job", "hydra", "all"])
def test_what_cannot_be_resolved_is_not_shown(tmp_path, capsys, part):
    assert run(tmp_path, "--cfg", part, "--resolve", "model.width=${nope}") == 2
    assert capsys.readouterr().err == "mlplab: model.width cannot be resolved: Interpolation key 'nope' not found\n"
    assert run(tmp_path, "--cfg", part, "--resolve", "hydra.job.name=${nope}") == (0 if part == "job" else 2)
    assert capsys.readouterr().err.count("\n") == (part != "job")


def test_what_is_shown_holds_no_escape_sequence(capsys):
    assert app.main(["train", "--hydra-help", "model.width={'\x1b]0;x\x07': 1}"]) in (0, 2)
    assert "\x1b" not in "".join(capsys.readouterr())
