"""What arithmetic on a CPU is set to for a training, and that it is put back."""

import threading

import pytest
import torch

from mlplab.errors import InputError
from mlplab.population.optimizers import subnormals_flushed
from mlplab.population.state import wide_float
from mlplab.seeds import seed_streams, streams_kept
from mlplab.training.build import choose_accelerator
from mlplab.training.record import describe_device


def flushes() -> bool:
    """Say whether half of the smallest normal number is taken for zero."""
    return bool(torch.tensor(torch.finfo(torch.float32).smallest_normal) / 2 == 0)


def in_a_thread(work):
    """Do something in a thread of its own, whose flag of the processor is its own."""
    done = []
    thread = threading.Thread(target=lambda: done.append(work()))
    thread.start()
    thread.join()
    return done[0]


@pytest.mark.parametrize("before", [False, True])
def test_subnormal_numbers_are_zero_within_and_as_before_outside(before):
    def work():
        torch.set_flush_denormal(before)
        with subnormals_flushed():
            inside = flushes()
        after = flushes()
        with pytest.raises(KeyboardInterrupt), subnormals_flushed():
            raise KeyboardInterrupt
        return inside, after, flushes()

    assert in_a_thread(work) == (True, before, before)


def test_on_several_threads_nothing_is_flushed():
    count = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with subnormals_flushed():
            assert not flushes()
    finally:
        torch.set_num_threads(count)


@pytest.mark.parametrize("cuda", [False, True])
@pytest.mark.parametrize("mps", [False, True])
def test_an_accelerator_is_chosen_or_refused_by_what_there_is(cuda, mps, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_accelerator("auto") == ("gpu" if cuda else "cpu") and choose_accelerator("cpu") == "cpu"
    for name, there, words in (
        ("gpu", cuda, "trainer=gpu needs"),
        ("cuda", cuda, "trainer=gpu"),
        ("mps", mps, "trainer=mps"),
    ):
        if there:
            assert choose_accelerator(name) == name
        else:
            with pytest.raises(InputError, match=f"{words}.* use trainer=cpu"):
                choose_accelerator(name)
    with pytest.raises(InputError, match="trainer.accelerator must be one of"):
        choose_accelerator("tpu")


def test_a_device_is_described_and_sums_are_as_wide_as_it_can():
    cpu, mps, cuda = map(torch.device, ("cpu", "mps", "cuda"))
    assert describe_device(cpu) == "cpu" and describe_device(mps) == "mps"
    assert [wide_float(device) for device in (cpu, cuda, mps)] == [torch.float64, torch.float64, torch.float32]


def test_streams_are_seeded_and_put_back():
    device, before = torch.device("cpu"), torch.get_rng_state()
    with streams_kept(device):
        seed_streams(device, 5)
        assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(5)))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_gpus_own_streams_are_seeded_and_no_others(monkeypatch):
    class Stream:
        def __init__(self):
            self.seeds = []

        def manual_seed(self, seed):
            self.seeds.append(seed)

    streams = [Stream(), Stream()]
    monkeypatch.setattr(torch.cuda, "default_generators", streams)
    with streams_kept(torch.device("cpu")):
        seed_streams(torch.device("cuda"), 3)
        seed_streams(torch.device("cuda:0"), 4)
        seed_streams(torch.device("cuda:1"), 5)
        seed_streams(torch.device("cpu"), 6)
    assert [stream.seeds for stream in streams] == [[3, 4], [5]]
