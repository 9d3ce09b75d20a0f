import functools
import gc
import os
import random
import signal
import sys

import pytest
from composing import MEMORYS, composing_by
from xdist.scheduler import LoadFileScheduling

# Started with & by a shell that is no terminal's, a process ignores Ctrl-C, and so would all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The tests start Python some hundred times: where it may not keep what it compiled, each start would compile the lab anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Files whose tests share what takes seconds to start: they go to one worker.
BROWSED = ("test_run_and_report_pages.py", "test_playground.py", "test_lif_explorer.py", "test_pages_numerics.py")
# What takes longest comes first, so that the workers end together.
LONGEST = (
    "test_faults.py",
    *BROWSED,
    "test_messages.py",
    "test_sweep_resume.py",
    "test_lightning_ecosystem.py",
    "test_redraw.py",
    "test_learner.py",
    "test_population.py",
    "test_levels.py",
    "test_equality.py",
    "test_lightning.py",
    "test_tasks.py",
    "test_app.py",
    "test_lif_study.py",
    "test_relu_campaign.py",
    "test_hydra_launcher.py",
)


class ByFile(LoadFileScheduling):
    """A file at a time to each worker, so that a file keeps what it shares."""

    def _split_scope(self, nodeid):
        file = super()._split_scope(nodeid)
        return "browser" if file.endswith(BROWSED) else file


def pytest_xdist_make_scheduler(config, log):
    return ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """The networks are small, and bits must not depend on the number of cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def global_random_state_is_untouched():
    """No code of the lab may draw from or seed torch's global generator and leave it changed."""
    import torch

    before = torch.get_rng_state()
    yield
    assert torch.equal(before, torch.get_rng_state()), "the test changed torch's global random state"


@pytest.fixture(scope="session", autouse=True)
def hydra_has_a_memory():
    """The tests compose conf/ some thousand times, which was a fifth of the suite's time."""
    with composing_by(*MEMORYS):
        yield


@pytest.fixture(scope="session", autouse=True)
def no_package_is_installed_meanwhile():
    """Each of Lightning's Trainers looks through all packages for further callbacks."""
    from lightning.fabric.utilities import registry

    registry.entry_points = functools.cache(registry.entry_points)
    yield


@pytest.fixture(scope="session")
def browser():
    """One headless browser for all pages."""
    from mlplab.faults.browser import CHROMEDRIVER, CHROMIUM, Browser

    if not (CHROMIUM and CHROMEDRIVER):
        pytest.skip("no headless browser: install Debian's chromium and chromium-driver")
    browser = Browser(1280, 1000)
    yield browser
    browser.close()


@pytest.fixture(scope="session", autouse=True)
def a_measured_suite_is_not_debugged():
    """Hydra lets an error through in place of printing it where something traces the program, as coverage does."""
    if sys.gettrace() is not None:
        from hydra._internal import utils

        utils.is_under_debugger = lambda: False
    yield


def pytest_addoption(parser):
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run the tests in a random order, files and all")


def pytest_collection_modifyitems(config, items):
    seed = config.getoption("--shuffle")
    if seed is not None:
        random.Random(seed).shuffle(items)
    else:
        items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def pytest_collection_finish(session):
    gc.collect()
    gc.freeze()  # what was imported stays, and need not be looked through again and again
    gc.set_threshold(20_000, 20, 50)
