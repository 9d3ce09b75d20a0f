import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlplab.errors import InputError
from mlplab.runs.folder import RunFolder, claim, open_run


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
