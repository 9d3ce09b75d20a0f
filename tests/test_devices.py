"""What arithmetic on a CPU is set to for a training, and that it is put back."""

import threading

import pytest
import torch

from mlplab.population.devices import subnormals_flushed


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
