import pytest
import torch

# One thread: the networks are small, and bits must not depend on the number of cores.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def global_random_state_is_untouched():
    """No code of the lab may draw from or seed torch's global generator and leave it changed."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(before, torch.get_rng_state()), "the test changed torch's global random state"
