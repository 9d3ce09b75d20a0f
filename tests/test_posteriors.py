import pytest
import torch

from mlplab.data import bayes
from mlplab.data.modules import MoonsDataModule, SpiralDataModule


@pytest.fixture
def shared(tmp_path):
    bayes.share_posteriors(tmp_path)
    yield tmp_path
    bayes.share_posteriors(None)


def module(kind=SpiralDataModule, **values):
    made = kind(**{"batch_size": 8, "fresh_points": 100, "validation_points": 20, **values})
    made.setup()
    return made


@pytest.mark.parametrize("kind", [SpiralDataModule, MoonsDataModule])
def test_what_is_shared_has_the_same_bits(shared, kind):
    alone = bayes.log_posterior(module(kind).fresh.x, module(kind).density)
    first, second = module(kind).log_posterior("fresh"), module(kind).log_posterior("fresh")
    assert torch.equal(first, alone) and torch.equal(second, alone) and second.dtype == torch.float64


def test_it_is_computed_once_for_all_processes(shared, monkeypatch):
    module().log_posterior("fresh")

    def refuse(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(bayes, "log_posterior", refuse)
    module().log_posterior("fresh")
    for other in ({"noise": 0.2}, {"seed": 1}, {"rotation_degrees": 5.0}):
        with pytest.raises(AssertionError, match="computed again"):
            module(**other).log_posterior("fresh")


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"nonsense"])
def test_a_damaged_file_is_computed_again(shared, damage):
    expected = module().log_posterior("fresh")
    (path,) = shared.glob("posterior-*.npy")
    path.write_bytes(damage)
    assert torch.equal(module().log_posterior("fresh"), expected)


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bayes.share_posteriors(tmp_path / "gone")
    try:
        module().log_posterior("fresh")
    finally:
        bayes.share_posteriors(None)
    module().log_posterior("fresh")
    assert not list(tmp_path.iterdir())
