import errno
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from mlplab.cli import app
from mlplab.cli.command_line import split_words
from mlplab.errors import InputError
from mlplab.runs.manifest import write_status


class Study:
    """A study that trains nothing: it writes its config and remembers how it was called."""

    def __init__(self):
        self.calls = []
        self.result = {"status": "finished"}
        self.error = None

    def __call__(self, config, folder):
        self.calls.append((config, folder))
        OmegaConf.save(config, folder / "config.yaml")
        if self.error is not None:
            raise self.error
        return self.result


@pytest.fixture
def study(monkeypatch):
    stub = Study()
    put_in_place(monkeypatch, stub)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    yield stub
    os.environ.pop("HYDRA_FULL_ERROR", None)


def put_in_place(monkeypatch, stub):
    real = app.load_study
    monkeypatch.setattr(
        app,
        "load_study",
        lambda name: (
            stub
            if name.startswith(("mlplab.cli.train", "mlplab.cli.evaluate", "mlplab.cli.reproduce", "mlplab.studies"))
            else real(name)
        ),
    )


def train(tmp_path, *words) -> int:
    return app.main(["train", f"paths.logs={tmp_path / 'logs'}", *words])


def only_line(capsys) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    # Where a run begins, its folder is told first.
    lines = [line for line in captured.err.splitlines(keepends=True) if not line.startswith("train: ")]
    assert len(lines) == 1 and lines[0].startswith("mlplab: ")
    return lines[0]


def test_a_run_gets_a_folder_of_its_own_with_what_was_composed(study, tmp_path):
    assert train(tmp_path, "seed=3", "model.hidden=[4,5]") == 0
    ((config, folder),) = study.calls
    assert folder.parent == tmp_path / "logs" / "train"
    assert folder.name.startswith("spiral-4x5-seed3-") and len(folder.name.rpartition("-")[2]) == 8
    assert config.seed == 3 and config.resume.folder is None
    assert yaml.safe_load((folder / ".hydra" / "config.yaml").read_text())["model"]["hidden"] == [4, 5]
    overrides = yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text())
    assert overrides[1:] == ["seed=3", "model.hidden=[4,5]"]
    hydra = OmegaConf.load(folder / ".hydra" / "hydra.yaml").hydra
    assert hydra.runtime.choices.data == "spiral" and hydra.runtime.output_dir == str(folder)


def test_the_name_follows_the_content_and_nothing_is_shared(study, tmp_path):
    for words in ([], [], ["seed=1"], ["experiment=tutorial"], ["name=mine"], ["name=mine"]):
        assert train(tmp_path, *words) == 0
    first, second, other, tutorial, named, again = [folder for _, folder in study.calls]
    assert second.name == first.name + "-2"
    assert other.name.rpartition("-")[2] != first.name.rpartition("-")[2]
    assert tutorial.parent.name == "tutorial"
    assert (named.name, again.name) == ("mine", "mine-2")


@pytest.mark.parametrize(
    ("result", "code"),
    [
        ({"status": "finished"}, 0),
        ({}, 0),
        (None, 0),
        ({"status": "diverged"}, 1),
        ({"status": "failed"}, 1),
        ({"status": "interrupted"}, 130),
        (3, 3),
    ],
)
def test_the_exit_code_says_how_the_run_ended(study, tmp_path, result, code):
    study.result = result
    assert train(tmp_path) == code


def test_bad_input_leaves_no_folder_behind(study, tmp_path, capsys):
    assert train(tmp_path, "model.widht=3") == 2
    assert "did you mean model.width?" in only_line(capsys)
    assert not study.calls and not (tmp_path / "logs").exists()


def test_bad_input_found_by_the_study_removes_the_empty_folder_only(study, tmp_path, monkeypatch, capsys):
    study.error = InputError("trainer=gpu needs a GPU,\n and there is none")
    assert train(tmp_path) == 2
    assert only_line(capsys) == "mlplab: trainer=gpu needs a GPU, and there is none\n"
    assert not (tmp_path / "logs").exists()

    def keep(config, folder):
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "last.pt").touch()
        raise InputError("the disk is full")

    put_in_place(monkeypatch, keep)
    assert train(tmp_path, "name=kept") == 2
    assert (tmp_path / "logs" / "train" / "kept" / "checkpoints" / "last.pt").exists()


def test_bad_input_removes_the_folders_above_only_where_they_were_made_for_it(study, tmp_path):
    study.error = InputError("no")
    (tmp_path / "logs").mkdir()
    assert train(tmp_path) == 2
    assert list((tmp_path / "logs").iterdir()) == []
    assert app.main(["train", f"paths.logs={tmp_path}/new/deeper/logs"]) == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("value", ["", "null"])
def test_reproduce_takes_a_path(tmp_path, capsys, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(app, "_run_folder_words", lambda command, words: (tmp_path, words))
    monkeypatch.setattr("mlplab.config.composition.load_recorded", lambda path: None)
    assert app.main(["reproduce", f"paths.logs={value}"]) == 2
    assert "paths.logs must be a path, got" in only_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_utf8_is_refused(study, tmp_path, capsys):
    assert train(tmp_path, "paths.logs=\udcc3\udcbc") == 2
    assert "options must be UTF-8 text" in only_line(capsys)


def test_a_current_folder_that_is_gone_is_one_line(study, tmp_path, capsys, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert train(tmp_path) == 2
    assert "the current folder must exist" in only_line(capsys)


def test_a_home_that_is_not_there_is_refused(study, tmp_path, capsys):
    assert train(tmp_path, "paths.logs='~no_such_person/logs'") == 2
    assert "paths.logs must be a path that can be found, got '~no_such_person/logs'" in only_line(capsys)


def test_a_full_disk_or_a_forbidden_file_is_one_line_wherever_it_is_met(study, tmp_path, capsys):
    study.error = OSError(errno.ENOSPC, "No space left on device", "events.tfevents")
    assert train(tmp_path) == 2
    assert only_line(capsys) == "mlplab: cannot write events.tfevents: No space left on device\n"
    study.error = PermissionError(errno.EACCES, "Permission denied", "last.ckpt")
    assert train(tmp_path) == 2
    assert only_line(capsys) == "mlplab: cannot use last.ckpt: Permission denied\n"
    study.error = OSError(errno.EBADF, "a bug")
    assert train(tmp_path) == 1 and "OSError: [Errno 9] a bug" in capsys.readouterr().err


def test_sigterm_is_taken_as_ctrl_c_before_a_run_begins(tmp_path, monkeypatch):
    def load(name):
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("it went on")

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(app, "load_study", load)
    assert train(tmp_path) == 143
    assert signal.getsignal(signal.SIGTERM) is before and not (tmp_path / "logs").exists()


def test_sigterm_is_taken_as_ctrl_c_before_a_sweep_begins_too(tmp_path, monkeypatch):
    def launch(*words):
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("it went on")

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("mlplab.sweeps.launcher.launch", launch)
    assert train(tmp_path, "-m", "seed=0,1") == 143
    assert signal.getsignal(signal.SIGTERM) is before and not (tmp_path / "logs").exists()


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(closed):
    command = f"exec {shlex.quote(sys.executable)} -m mlplab.cli.app train --cfg job {closed}"
    assert subprocess.run(["sh", "-c", command], capture_output=True).returncode == 0


def test_a_locale_without_the_letters_is_no_error():
    surroundings = os.environ | {"PYTHONUTF8": "0", "LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0"}
    surroundings.pop("PYTHONIOENCODING", None)
    program = "from mlplab.cli import app; app._open_streams(); print(chr(177))"
    done = subprocess.run([sys.executable, "-c", program], env=surroundings, capture_output=True)
    assert done.returncode == 0 and done.stdout in (b"\\xb1\n", "\xb1\n".encode())


def test_an_unforeseen_error_before_the_study_began_leaves_nothing(study, tmp_path, monkeypatch, capsys):
    def fail(config, folder):
        raise ZeroDivisionError("a bug")

    put_in_place(monkeypatch, fail)
    assert train(tmp_path) == 1
    assert "ZeroDivisionError: a bug" in capsys.readouterr().err
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("resume=", "resume must be a run folder, got nothing"),
        ("resume.folder=", "resume.folder must be a run folder, got nothing"),
        ("resume.folder=/no/such/folder", "/no/such/folder is not a run folder: there is no such folder"),
        ("--multirun=3", "--multirun takes no value, got --multirun=3"),
    ],
)
def test_words_that_would_start_another_run_are_refused(study, tmp_path, capsys, word, words):
    assert train(tmp_path, word) == 2
    assert words in only_line(capsys)
    assert not study.calls and not (tmp_path / "logs").exists()


def test_an_interrupt_is_130_and_an_unforeseen_error_keeps_its_traceback(study, tmp_path, capsys):
    study.error = KeyboardInterrupt()
    assert train(tmp_path) == 130
    assert only_line(capsys) == "mlplab: interrupted\n"
    assert study.calls[0][1].exists()
    study.error = ZeroDivisionError("a bug")
    assert train(tmp_path) == 1  # as in any Hydra app
    assert "Traceback" in (told := capsys.readouterr().err) and "ZeroDivisionError: a bug" in told
    assert study.calls[1][1].exists()


@pytest.mark.parametrize(
    "made_of_it", (InputError("of a config"), AttributeError("in somebody's cleaning up")), ids=str
)
def test_an_interrupt_that_went_under_in_another_error_is_one_all_the_same(study, tmp_path, capsys, made_of_it):
    try:
        try:
            raise KeyboardInterrupt
        finally:
            raise AttributeError("no such flag")
    except AttributeError as error:
        made_of_it.__cause__ = error
    study.error = made_of_it
    assert train(tmp_path) == 130 and only_line(capsys) == "mlplab: interrupted\n"


def test_an_interrupt_before_the_study_began_leaves_nothing(study, tmp_path, monkeypatch):
    def load(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "load_study", load)
    assert train(tmp_path) == 130
    assert not (tmp_path / "logs").exists()


def test_a_log_folder_that_cannot_be_made_is_one_line(study, tmp_path, capsys):
    (tmp_path / "logs").write_text("a file")
    assert train(tmp_path) == 2
    assert str(tmp_path / "logs") in only_line(capsys)


def test_resume_goes_on_in_the_folder_with_the_recorded_config(study, tmp_path, capsys):
    assert train(tmp_path, "model.width=7", "optimizer=sgd") == 0
    folder = study.calls[0][1]
    write_status(folder, "interrupted")
    assert train(tmp_path, f"resume={folder}") == 0
    assert train(tmp_path, f"resume={folder}", "model.width=7", "optimizer=sgd", "optimizer.lr=0.1") == 0
    for config, where in study.calls[1:]:
        assert (config.model.width, config.resume.folder, where) == (7, str(folder), folder)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    for words, part in [
        (["model.width=8"], "model.width must be 7, as in the run that is resumed, got 8"),
        (["trainer.max_epochs=200"], "trainer.max_epochs must be 100"),
        (["optimizer=adam"], "optimizer must be 'sgd'"),
        (["model.widht=7"], "did you mean model.width?"),
        (["-m"], "leave out --multirun"),
    ]:
        assert train(tmp_path, f"resume={folder}", *words) == 2
        assert part in only_line(capsys)
    assert len(study.calls) == 3


@pytest.mark.parametrize("content", [b"", b"[1]", b"3", b"\xff\xfe", b"hydra: {}", b"a: " + b"[" * 3000])
def test_resume_needs_hydras_record_only_to_compare_options(study, tmp_path, capsys, content):
    assert train(tmp_path) == 0
    folder = study.calls[0][1]
    write_status(folder, "interrupted")
    (folder / ".hydra" / "hydra.yaml").write_bytes(content)
    assert app.main(["train", f"resume={folder}"]) == 0
    assert app.main(["train", f"resume={folder}", "optimizer=adam"]) == 2
    assert "hydra.yaml is damaged" in only_line(capsys)


def test_resume_refuses_what_is_no_run_or_still_runs(study, tmp_path, capsys):
    for path in (tmp_path / "nowhere", tmp_path):
        assert train(tmp_path, f"resume={path}") == 2
        assert "is not a run folder" in only_line(capsys)
    assert train(tmp_path) == 0
    folder = study.calls[0][1]
    write_status(folder, "running")
    assert train(tmp_path, f"resume={folder}") == 2
    assert f"still runs as process {os.getpid()}" in only_line(capsys)
    (folder / "status.json").unlink()
    (folder / "config.yaml").write_text("model: {_target_: os.system}")
    assert train(tmp_path, f"resume={folder}") == 2
    assert "must start with one of" in only_line(capsys)
    assert folder.exists()


def test_a_sweep_gives_every_job_its_own_folder_in_any_order_of_words(study, tmp_path, capfd):
    # The lab's own launcher trains in other processes; see test_sweep_*.py.
    assert train(tmp_path, "-m", "hydra/launcher=basic", "model.width=4,8", "seed=0,1") == 0
    folders = {folder.name.rpartition("-")[0] for _, folder in study.calls}
    assert folders == {"spiral-4-seed0", "spiral-4-seed1", "spiral-8-seed0", "spiral-8-seed1"}
    assert (study.calls[0][1] / ".hydra" / "overrides.yaml").exists()
    capfd.readouterr()
    assert train(tmp_path, "model.width=4,abc", "-m") == 2
    assert "model.width must be an integer >= 1, got 'abc'" in only_line(capfd)
    assert len(study.calls) == 4


def test_help_and_the_config_run_nothing(study, tmp_path, capsys):
    assert train(tmp_path, "--cfg", "job", "seed=5") == 0
    assert "seed: 5" in capsys.readouterr().out
    assert train(tmp_path, "--help") == 0
    assert "near_bayes" in capsys.readouterr().out
    assert app.main(["--help"]) == 0
    capsys.readouterr()
    for words in (["--cfg", "job"], ["--info"], ["--help"]):
        assert train(tmp_path, "-m", "seed=0,1", *words) == 2
        assert f"{words[0]} shows what there is for a single run; leave out -m" in only_line(capsys)
    assert not study.calls and not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["trian"], "did you mean train?"),
        (["train", "--cgf=job"], "did you mean --cfg?"),
        (["train", "--cfg"], "--cfg must be followed by one of job, hydra, all, got nothing"),
        (["train", "--experimental-rerun=x"], "--experimental-rerun is refused"),
        (["train", "--config-dir", "/nowhere/at/all"], "--config-dir must be a folder"),
        (["train", "--config-name=x"], "options must be KEY=VALUE"),
        (["evaluate"], "evaluate must be given a run folder"),
        (["evaluate", "/no/such/folder"], "/no/such/folder is not a run folder"),
        (["reproduce", "/no/such/folder"], "/no/such/folder is not a run folder"),
        (["tensorboard", "/no/such/folder"], "tensorboard must be given a folder that exists"),
    ],
)
def test_a_wrong_command_line_is_one_line(study, capsys, words, part):
    assert app.main(words) == 2
    assert part in only_line(capsys)


def test_no_command_names_the_commands(capsys):
    assert app.main([]) == 2
    assert "train a network" in capsys.readouterr().out


def test_words_are_sorted_in_any_order():
    words = split_words(["a=1", "--cfg", "job", "b=2", "--resolve", "resume=null", "-cd=x"])
    assert words.overrides == ["a=1", "b=2"] and words.config_dir == "x" and words.resume is None
    assert words.flags == {"--cfg": "job", "--resolve": None} and words.shows == "--cfg" and not words.sweeps
    assert split_words(["a=1", "-m", "--config-dir", "x"]).sweeps


def test_evaluate_and_reproduce_check_the_folder_and_pass_it_on(study, tmp_path, monkeypatch, capsys):
    assert train(tmp_path) == 0
    folder, calls = study.calls[0][1], []
    put_in_place(monkeypatch, lambda *given: calls.append(given))
    assert app.main(["evaluate", str(folder), "data.noise=0.3"]) == 0
    assert app.main(["reproduce", str(folder), f"paths.logs={tmp_path}"]) == 0
    assert calls == [(folder, ["data.noise=0.3"]), (folder, Path(tmp_path))]
    assert app.main(["evaluate", str(folder), "data.nosie=0.3"]) == 2
    assert "did you mean data.noise?" in only_line(capsys)
    assert app.main(["reproduce", str(folder), "data.noise=0.3"]) == 2
    assert "paths.logs=DIR alone" in only_line(capsys)
    assert len(calls) == 2


def test_every_command_has_a_script_that_calls_it():
    scripts = Path(__file__).parent.parent / "scripts"
    for command in app.COMMANDS:
        if command != "tensorboard":
            assert f'script("{command}")' in (scripts / f"{command}.py").read_text()


def test_a_wrong_option_is_answered_without_importing_torch(tmp_path):
    program = (
        "import sys; from mlplab.cli.app import main\n"
        "wrong = [['model.width=0'], ['trainer=gpuu'], ['-m', 'seed=0,a']]\n"
        "codes = [main(['train', *words]) for words in wrong]\n"
        "assert codes == [2, 2, 2]\n"
        "assert not {'torch', 'lightning', 'matplotlib', 'scipy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 3 and not list(tmp_path.iterdir())


def test_a_run_is_looked_for_in_the_logs_that_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("a,b,kind\n" + "".join(f"{n % 7},{n % 5},{'xy'[n % 2]}\n" for n in range(60)))
    small = ["trainer.max_epochs=1", "figures=none", "callbacks.progress=null", "paths.logs=elsewhere"]
    spirals = ["data.points_per_arm=40", "data.batch_size=16", "data.fresh_points=100", "data.validation_points=40"]
    assert app.main(["train", *spirals, *small]) == 0
    assert app.main(["train", "data=file", "data.path=t.csv", "data.batch_size=8", "name=table", *small]) == 0
    (folder,) = (path for path in (tmp_path / "elsewhere" / "train").iterdir() if path.name != "table")
    digits = folder.name.rpartition("-")[2]
    for command in (
        ["evaluate", digits],
        ["evaluate", digits, "data.noise=0.3"],
        ["reproduce", digits],
        ["limits", digits],
        ["playground", digits],
        ["predict", "table", "data.path=t.csv"],
        ["spiking", digits, "points=10", "surrogate.steps=1", "figures=[]"],
    ):
        code = app.main([*command, "paths.logs=elsewhere"])
        told = capsys.readouterr().err
        assert code == 0 or "RUN must be" not in told, (command, told)
        assert code == 0 or command[0] == "spiking", (command, told)
    monkeypatch.setattr("mlplab.runs.find.logs_folder", lambda: tmp_path / "elsewhere")
    assert app.main(["reproduce", digits, "paths.logs=new"]) == 0  # which has none: it is found in the lab's own
    assert any((tmp_path / "new").rglob("result.json"))
