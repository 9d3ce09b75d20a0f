"""Hydra's own suites for launchers, over the lab's: in a plain Hydra app it runs the jobs one by one, as Hydra's does."""

import subprocess
import sys

import pytest
from hydra import version
from hydra.test_utils.launcher_common_tests import BatchedSweeperTestSuite, IntegrationTestSuite, LauncherTestSuite

SWEEPERS = ("basic", "grid")


@pytest.fixture(autouse=True)
def unset_version_base():
    """The suite's apps name no version_base, and run in their folders; an earlier test may have named one."""
    own = version.VersionBase.instance()
    before, own.version_base = own.version_base, version.Version("1.1")
    yield
    own.version_base = before


@pytest.mark.filterwarnings("ignore:\\s*Future Hydra versions will no longer change working directory")
@pytest.mark.parametrize("launcher_name, overrides", [("population", [])])
class TestPopulationLauncher(LauncherTestSuite):
    """Sweeps in this process."""


@pytest.mark.filterwarnings("ignore:\\s*Future Hydra versions will no longer change working directory")
@pytest.mark.parametrize("launcher_name, overrides", [("population", ["hydra.sweeper.max_batch_size=2"])])
class TestPopulationLauncherInBatches(BatchedSweeperTestSuite):
    """Sweeps that are launched two jobs at a time."""


@pytest.mark.parametrize(
    "task_launcher_cfg, extra_flags", [({"defaults": [{"override hydra/launcher": "population"}]}, ["-m"])]
)
class TestPopulationLauncherIntegration(IntegrationTestSuite):
    """Apps of their own, as processes."""


APP = """
import hydra, sys

@hydra.main(version_base=None, config_path=None)
def app(config):
    print("job", dict(config), "mlplab.config" in sys.modules, "torch" in sys.modules)
    if config.get("x") == 3:
        raise ValueError("x is three")
    return 1.0

app()
"""


def run(tmp_path, *words):
    (tmp_path / "app.py").write_text(APP)
    command = [sys.executable, "-W", "error", "app.py", *words]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900)


@pytest.mark.parametrize("words", [[], ["-m", "+x=1,2"]], ids=["one job", "a sweep"])
def test_another_app_in_the_environment_is_not_disturbed(tmp_path, words):
    done = run(tmp_path, *words)
    assert (done.returncode, done.stderr) == (0, "")
    jobs = [line for line in done.stdout.splitlines() if line.startswith("job")]
    assert len(jobs) == max(1, 2 * len(words) - 2) and all(line.endswith("False False") for line in jobs)


@pytest.mark.parametrize("sweeper", SWEEPERS)
def test_the_labs_plugins_run_another_apps_jobs_and_tell_a_failure_as_hydra_does(tmp_path, sweeper):
    words = ["-m", "hydra/launcher=population", f"hydra/sweeper={sweeper}"]
    done = run(tmp_path, *words, "+x=1,2")
    assert (done.returncode, done.stderr) == (0, "")
    assert "job {'x': 1}" in done.stdout and "job {'x': 2}" in done.stdout
    done = run(tmp_path, *words, "+x=1,3")
    assert done.returncode == 1 and "ValueError: x is three" in done.stderr


def test_a_search_in_another_app_is_refused_in_one_line(tmp_path):
    done = run(tmp_path, "-m", "hydra/sweeper=search", "+x=1,2")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[0].startswith("hydra/sweeper=search searches the settings of mlplab's own commands")
