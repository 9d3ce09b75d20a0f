import random
import signal
import sys

import pytest
import torch

# Started with & by a shell that is no terminal's, a process ignores Ctrl-C, and so would all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# One thread: the networks are small, and bits must not depend on the number of cores.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def global_random_state_is_untouched():
    """No code of the lab may draw from or seed torch's global generator and leave it changed."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(before, torch.get_rng_state()), "the test changed torch's global random state"


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
