"""A run that was stopped or killed goes on to the same bits."""

import os
import signal
import time
import warnings

import pytest
import torch
from small_runs import assert_same_run, base, comparable, interrupt, quick, serving, status, train, whole  # noqa: F401 (fixtures among them)

from mlplab.errors import InputError
from mlplab.population.blocks import Serving
from mlplab.runs import checkpoint
from mlplab.training.callbacks import MemberCallback
from mlplab.training.fit import fit_members


@pytest.fixture(scope="module")
def watched(base):
    """A config whose early stopping has something to remember."""
    return quick(
        base,
        callbacks__early_stopping={
            "_target_": "mlplab.training.callbacks.EarlyStopping",
            "monitor": "train/loss",
            "patience": 3,
            "min_delta": 0.0,
        },
    )


@pytest.fixture(scope="module")
def uninterrupted(watched, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    train(watched, folder)
    return folder


@pytest.mark.parametrize("minibatches", (1, 4, 8, 9, 15, 16, 23, 31))
def test_a_stopped_run_goes_on_to_the_same_bits(watched, uninterrupted, tmp_path, serving, minibatches):
    config = watched
    interrupt(config, tmp_path / "parts", minibatches, serving=serving)
    stopped = checkpoint.load(tmp_path / "parts" / "checkpoints" / "last.ckpt")["mlplab"]["minibatches"]
    assert minibatches <= stopped < minibatches + min(serving.minibatches, 8)
    train(config, tmp_path / "parts", resume=True, serving=serving)
    assert_same_run(uninterrupted, tmp_path / "parts")


@pytest.mark.parametrize("minibatches", (8, 11))
def test_a_stopped_run_has_the_same_pictures_and_events(base, whole, tmp_path, minibatches):
    from mlplab.runs.events import read_events

    folder, serving = tmp_path / "run", Serving(minibatches=3)
    interrupt(base, folder, minibatches, serving=serving)
    train(base, folder, resume=True, serving=serving)
    assert_same_run(whole, folder)

    def content(root):
        events = [event for file in sorted(root.rglob("events*")) for event in read_events(file)]
        return sorted(
            (event.step, value.tag) for event in events for value in event.summary.value if "hparams" not in value.tag
        )

    assert content(folder / "tensorboard") == content(whole / "tensorboard")


def test_many_stops(base, tmp_path):
    serving = Serving(minibatches=1)
    options = {
        "model__dropout": 0.2,
        "trainer__accumulate_grad_batches": 3,
        "trainer__gradient_clip_val": 0.5,
        "schedule": {"_target_": "mlplab.population.schedules.Cosine", "final_fraction": 0.0, "warmup_epochs": 1},
        "data__drop_last": False,
        "data__batch_size": 15,
        "trainer__max_epochs": 3,
    }
    config = quick(base, **options)
    train(config, tmp_path / "whole")
    interrupt(config, tmp_path / "parts", 1, serving=serving)
    for minibatches in range(3, 27, 3):
        interrupt(config, tmp_path / "parts", minibatches, resume=True, serving=serving)
    train(config, tmp_path / "parts", resume=True, serving=serving)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_sgd_with_momentum_goes_on_to_the_same_bits(base, tmp_path):
    options = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}
    config = quick(base, optimizer={"_target_": "torch.optim.SGD", "_partial_": True, **options})
    train(config, tmp_path / "whole")
    interrupt(config, tmp_path / "parts", 8)
    train(config, tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_torchs_optimizer_goes_on_to_the_same_bits(base, tmp_path):
    config = quick(base, optimizer={"_target_": "torch.optim.RMSprop", "_partial_": True, "lr": 1e-2, "momentum": 0.5})
    train(config, tmp_path / "whole")
    interrupt(config, tmp_path / "parts", 8)
    train(config, tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_double_precision_goes_on_to_the_same_bits(base, tmp_path):
    config = quick(base, trainer__precision="64-true")
    train(config, tmp_path / "whole")
    interrupt(config, tmp_path / "parts", 16)
    train(config, tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    assert (
        checkpoint.load(tmp_path / "parts" / "checkpoints" / "last.ckpt")["state_dict"]["model.layers.0.weight"].dtype
        == torch.float64
    )


def test_resuming_a_finished_run_changes_nothing(base, tmp_path):
    config = quick(base)
    first = train(config, tmp_path / "run")
    table = (tmp_path / "run" / "metrics.csv").read_bytes()
    again = train(config, tmp_path / "run", resume=True)
    assert comparable(first) == comparable(again)
    assert (tmp_path / "run" / "metrics.csv").read_bytes() == table and status(tmp_path / "run") == "finished"


def test_resuming_before_the_first_checkpoint_starts_afresh(base, tmp_path):
    config = quick(base)
    train(config, tmp_path / "whole")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "metrics.csv").write_text("epoch,step\n1,8\n")
    train(config, folder, resume=True)
    assert_same_run(tmp_path / "whole", folder)


def test_a_damaged_checkpoint_is_refused_and_the_folder_stays_as_it_was(base, tmp_path):
    config, folder = quick(base), tmp_path / "run"
    interrupt(config, folder, 8)
    file = folder / "checkpoints" / "last.ckpt"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="damaged"):
        train(config, folder, resume=True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert status(folder) == "interrupted"


def test_a_checkpoint_of_another_config_is_refused(base, tmp_path):
    interrupt(quick(base), tmp_path / "run", 8)
    with pytest.raises(InputError, match="another config"):
        train(quick(base, optimizer__lr=0.5), tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    "content", [None, {}, {"format": 1}, {"mlplab": {"format": 99, "config_digest": "x", "minibatches": 1}}]
)
def test_a_checkpoint_of_the_labs_that_is_no_last_state_is_refused(base, tmp_path, content):
    folder = tmp_path / "run"
    interrupt(quick(base), folder, 8)
    last, best = folder / "checkpoints" / "last.ckpt", folder / "checkpoints" / "best.ckpt"
    if content is None:
        last.write_bytes(best.read_bytes())
    else:
        checkpoint.save(last, content)
    with pytest.raises(
        InputError, match="another config" if content and "mlplab" in content else "is no last state of a run"
    ):
        train(quick(base), folder, resume=True)
    assert status(folder) == "interrupted"


def test_a_run_stopped_while_it_is_described_says_so_and_goes_on(base, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mlplab.training.fit.collect", stop)
        with pytest.raises(KeyboardInterrupt):
            train(quick(base), tmp_path / "run")
    assert status(tmp_path / "run") == "interrupted"
    train(quick(base), tmp_path / "run", resume=True)
    train(quick(base), tmp_path / "whole")
    assert_same_run(tmp_path / "whole", tmp_path / "run")


class Kill(MemberCallback):
    """End the process without a word, as the kernel does when memory runs out."""

    takes_blocks = True

    def __init__(self, minibatches):
        self.minibatches = minibatches

    def on_train_batch_end(self, trainer, classifier, *_):
        if classifier.minibatches >= self.minibatches:
            os.kill(os.getpid(), signal.SIGKILL)


def in_a_killed_process(config, folder, minibatches, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of threads, which torch may have started
        child = os.fork()
    if child == 0:
        try:
            fit_members([config], [folder], observer=Kill(minibatches), **options)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


def test_an_epoch_goes_on_in_the_order_it_began_with_or_not_at_all(base, tmp_path):
    for minibatches in (11, 8):
        drawing = Serving(minibatches=3, drawing_devices=("cpu",))
        interrupt(quick(base), tmp_path / f"at{minibatches}", minibatches, serving=drawing)
    with pytest.raises(InputError, match="stopped inside an epoch.*resume it with trainer=gpu, got trainer=cpu"):
        train(quick(base), tmp_path / "at11", resume=True)
    assert status(tmp_path / "at11") == "interrupted"
    assert train(quick(base), tmp_path / "at8", resume=True)["epochs"] == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_killed_again_and_again_goes_on_to_the_same_bits(base, tmp_path):
    serving = Serving(minibatches=3)
    config, folder = quick(base, callbacks__checkpoints__every_seconds=0), tmp_path / "parts"
    train(config, tmp_path / "whole")
    folder.mkdir()
    for minibatches in (1, 7, 8, 16, 17, 31):
        in_a_killed_process(config, folder, minibatches, resume=minibatches > 1, serving=serving)
        assert status(folder) == "running"
        assert minibatches < 8 or (folder / "checkpoints" / "last.ckpt").exists()
    train(config, folder, resume=True, serving=serving)
    assert_same_run(tmp_path / "whole", folder)


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM))
def test_a_signal_saves_the_state_and_says_interrupted(base, tmp_path, number):
    before = signal.getsignal(number)

    class Signal(MemberCallback):
        def on_epoch(self, trainer, classifier):
            if classifier.epochs == 2:
                os.kill(os.getpid(), number)

    (tmp_path / "parts").mkdir()
    with pytest.raises(KeyboardInterrupt):
        fit_members([quick(base)], [tmp_path / "parts"], observer=Signal())
    assert signal.getsignal(number) is before
    assert status(tmp_path / "parts") == "interrupted"
    assert checkpoint.load(tmp_path / "parts" / "checkpoints" / "last.ckpt")["mlplab"]["epochs"] in (2, 3)
    train(quick(base), tmp_path / "whole")
    train(quick(base), tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM))
def test_a_signal_after_an_epoch_of_lightnings_loop_is_an_interrupt(base, tmp_path, number):
    """Of SIGTERM Lightning makes an exit with 0 there."""

    class Signal(MemberCallback):
        def on_epoch(self, trainer, members):
            if members.epochs == 2:
                os.kill(os.getpid(), number)

    config = quick(base, trainer__engine="lightning", callbacks__checkpoints__every_seconds=0)
    (tmp_path / "parts").mkdir()
    with pytest.raises(KeyboardInterrupt):
        fit_members([config], [tmp_path / "parts"], observer=Signal())
    assert status(tmp_path / "parts") == "interrupted"
    train(config, tmp_path / "whole")
    train(config, tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_a_second_signal_stops_at_once(base, tmp_path):
    before = signal.getsignal(signal.SIGINT)

    class Impatient(MemberCallback):
        takes_blocks = True

        def on_train_batch_start(self, trainer, classifier, *_):
            if classifier.minibatches == 8:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(1)

    (tmp_path / "run").mkdir()
    with pytest.raises(KeyboardInterrupt):
        fit_members([quick(base)], [tmp_path / "run"], observer=Impatient())
    assert status(tmp_path / "run") == "interrupted"
    assert signal.getsignal(signal.SIGINT) is before
