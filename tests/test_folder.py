import fcntl
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlplab.errors import InputError
from mlplab.runs.files import write_text
from mlplab.runs.folder import LOCK, RunFolder, Taken, claim, claimed, is_locked_here, locked, open_run, owned, take


def test_a_taken_name_gets_a_number(tmp_path):
    parent = tmp_path / "logs" / "train"
    assert [claim(parent, "a").name for _ in range(4)] == ["a", "a-2", "a-3", "a-4"]
    assert claim(parent, "b").name == "b"
    (parent / "c").write_text("a file is in the way as well")
    assert claim(parent, "c").name == "c-2"


def test_processes_that_claim_one_name_get_folders_of_their_own(tmp_path):
    code = "import sys; from mlplab.runs.folder import claim\nfor _ in range(30): print(claim(sys.argv[1], 'a'))"
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    claimed = [line for process in processes for line in process.communicate()[0].split()]
    assert len(claimed) == 60 and len(set(claimed)) == 60
    assert len(list(tmp_path.iterdir())) == 60


def test_threads_that_claim_one_name_get_folders_of_their_own(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(lambda _: claim(tmp_path, "a"), range(64)))
    assert len(set(claimed)) == 64


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "a\\b", "a\n", "a\0b"])
def test_what_is_no_name_is_refused_and_makes_nothing(tmp_path, name):
    with pytest.raises(InputError, match="name must be a plain file name") as caught:
        claim(tmp_path / "logs", name)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "logs").exists()


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(InputError, match="cannot make a run folder in .*logs.*paths.logs"):
        claim(tmp_path / "logs" / "train", "a")
    with pytest.raises(InputError, match="name too long"):
        claim(tmp_path / "new" / "folders", "a" * 300)
    with pytest.raises(InputError, match="name too long"):
        claim(tmp_path / ("b" * 300) / "folders", "a")
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_the_files_of_a_run_have_their_names(tmp_path):
    run = RunFolder(tmp_path / "a")
    names = ["config", "manifest", "status", "result", "metrics", "checkpoints", "tensorboard", "figures"]
    paths = [str(getattr(run, name).relative_to(tmp_path)) for name in names]
    assert paths == [
        "a/config.yaml",
        "a/manifest.json",
        "a/status.json",
        "a/result.json",
        "a/metrics.csv",
        "a/checkpoints",
        "a/tensorboard",
        "a/figures",
    ]
    assert run.name == "a" and not run.path.exists()


def test_a_run_is_opened_by_its_config(tmp_path):
    with pytest.raises(InputError, match="nowhere is not a run folder: there is no such folder"):
        open_run(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is not a run folder: it has no config.yaml"):
        open_run(tmp_path)
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    assert open_run(str(tmp_path)) == RunFolder(tmp_path)


def test_runs_are_imported_without_torch_lightning_or_hydra():
    code = (
        "import sys, mlplab.runs.folder, mlplab.runs.manifest, mlplab.runs.checkpoint, mlplab.runs.metrics, "
        "mlplab.runs.identity, mlplab.runs.manifest\n"
        "print({'torch', 'lightning', 'hydra', 'omegaconf', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("leftovers", [(), ("multirun.yaml",), ("multirun.yaml", "playground.html", ".groups")])
def test_a_folder_that_was_made_for_nothing_is_gone_with_those_above_it(tmp_path, leftovers):
    folder = tmp_path / "a" / "b"
    with pytest.raises(InputError), locked(folder):
        assert is_locked_here(folder) and (folder / LOCK).read_text().startswith(f"{os.getpid()} on ")
        for name in leftovers:
            (folder / name).mkdir() if name == ".groups" else (folder / name).touch()
        raise InputError("no")
    assert not list(tmp_path.iterdir()) and not is_locked_here(folder)


def test_a_folder_with_anything_of_use_stays(tmp_path):
    with pytest.raises(InputError), locked(tmp_path / "a"):
        (tmp_path / "a" / "result.json").touch()
        raise InputError("no")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["result.json"]
    (tmp_path / "b").mkdir()
    with pytest.raises(InputError), locked(tmp_path / "b"):  # it was there before
        raise InputError("no")
    assert not list((tmp_path / "b").iterdir())


def test_a_lock_may_be_asked_for_again_and_is_gone_with_the_first(tmp_path):
    with locked(tmp_path):
        with locked(tmp_path):
            pass
        assert is_locked_here(tmp_path) and (tmp_path / LOCK).exists()
    assert not is_locked_here(tmp_path) and not (tmp_path / LOCK).exists()


def test_a_folder_that_others_hold_is_taken(tmp_path):
    with open(tmp_path / LOCK, "a+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Taken, match="another command works in .* \\(process unknown\\)"), locked(tmp_path):
            pass
    with open(tmp_path / LOCK, "w+") as other:
        other.write("17 on here")
        other.flush()
        fcntl.flock(other, fcntl.LOCK_SH)
        with pytest.raises(Taken, match=r"\(process 17 on here\); wait for it"), locked(tmp_path):
            pass
        assert (tmp_path / LOCK).exists()
        folder = tmp_path / "job"
        (tmp_path / "sweep.json").touch()
        with owned(folder):  # jobs of one sweep share its lock
            assert is_locked_here(folder) and not is_locked_here(tmp_path)
        fcntl.flock(other, fcntl.LOCK_UN)
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Taken), owned(folder):
            pass
    with owned(folder):
        with open(tmp_path / LOCK) as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert not (tmp_path / LOCK).exists()


def test_a_folder_claimed_and_left_empty_is_taken_again(tmp_path):
    for name in (".hydra", "playground.html", "a.log", "b.tmp"):
        (tmp_path / "x" / name).mkdir(parents=True)
    with claimed(tmp_path, "x") as path:
        (path / "config.yaml").touch()
    assert path == tmp_path / "x"
    (tmp_path / "x-2").mkdir()
    (tmp_path / "x-2" / "other").touch()
    with pytest.raises(ZeroDivisionError), claimed(tmp_path, "x") as path:
        raise ZeroDivisionError
    assert path == tmp_path / "x-3" and not path.exists()
    (tmp_path / "y").touch()  # a file of that name
    with claimed(tmp_path, "y") as path:
        assert path == tmp_path / "y-2" and is_locked_here(path)
        with claimed(tmp_path, "y") as second:
            assert second == tmp_path / "y-3"


@pytest.mark.parametrize(
    ("error", "left", "kept"),
    [
        (ZeroDivisionError, "config.yaml", True),
        (ZeroDivisionError, "other", False),
        (InputError, "config.yaml", False),  # bad input is as if nothing had been
        (InputError, "checkpoints/last.ckpt", True),
        (ZeroDivisionError, "checkpoints/last.ckpt", False),
    ],
)
def test_a_folder_is_removed_where_its_run_comes_to_nothing(tmp_path, error, left, kept):
    ways = [lambda: claimed(tmp_path / "logs", "x")]
    if left != "other":  # in a folder of a person's choice that may be another's
        ways.append(lambda: take(tmp_path / "logs" / "x"))
    for make in ways:
        with pytest.raises(error), make() as path:
            write_text(path / left, "")
            raise error
        assert (tmp_path / "logs").exists() == kept == (tmp_path / "logs" / "x" / left).exists()
        shutil.rmtree(tmp_path / "logs", ignore_errors=True)


def test_a_folder_that_holds_a_run_is_not_taken(tmp_path):
    (tmp_path / "config.yaml").touch()
    with pytest.raises(InputError, match="holds a run already; continue with resume="), take(tmp_path):
        pass
    (tmp_path / "config.yaml").unlink()
    with pytest.raises(ZeroDivisionError), take(tmp_path) as path:
        assert path == tmp_path
        raise ZeroDivisionError
    assert tmp_path.is_dir()  # it was there before


@pytest.mark.parametrize("was_there", [True, False])
def test_what_others_put_into_a_taken_folder_stays(tmp_path, was_there):
    place = tmp_path / "mine"
    if was_there:
        place.mkdir()
        (place / "metrics.csv").write_text("a person's own")
    with pytest.raises(InputError, match="no"), take(place):
        # The lab's and Hydra's, then a person's, of the same names among them.
        for name in ("config.yaml", "status.json", "figures/membrane.png", "tensorboard/events"):
            write_text(place / name, "")
        (place / ".hydra").mkdir()
        (place / ".hydra" / "hydra.yaml").touch()
        for name in ("thesis.txt", "results/file", "figures/mine.png", "networks/mine.pt", "manifest.json"):
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).touch()
        raise InputError("no")
    found = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    others = {"thesis.txt", "results/file", "figures/mine.png", "networks/mine.pt", "manifest.json"}
    assert found == others | ({"metrics.csv"} if was_there else set())
    assert not (place / "tensorboard").exists() and not (place / ".hydra").exists()
