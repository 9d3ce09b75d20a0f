"""What the lab uses of Lightning's that is not public is as it was in the version it was written for."""

import lightning.pytorch as L
import pytest
import torch
from torch import nn

from mlplab import lightning_names

ADVICE = f"Lightning {L.__version__} differs from 2.6 in what mlplab/lightning_names.py uses of it: "
STEPS, EPOCHS = 5, 2

pytestmark = pytest.mark.filterwarnings("ignore")  # what Lightning itself warns of


@pytest.fixture(autouse=True)
def own_random_state():
    """Lightning and torch's modules draw from torch's global generator."""
    with torch.random.fork_rng(devices=[]):
        yield


class Line(L.LightningModule):
    """Fit a line, with a schedule, as Lightning's loops do it."""

    def __init__(self, automatic=True):
        super().__init__()
        self.line, self.automatic_optimization = nn.Linear(1, 1), automatic

    def training_step(self, batch, index):
        return self.line(batch[0]).square().mean()

    def validation_step(self, batch, index):
        self.log("val/loss", self.line(batch[0]).square().mean())

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [{"scheduler": torch.optim.lr_scheduler.ConstantLR(optimizer), "interval": "step"}]


def trainer_of(folder, **options):
    options = {"max_epochs": EPOCHS, "accelerator": "cpu", "logger": False, **options}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    return L.Trainer(default_root_dir=folder, **options, **quiet)


@pytest.mark.parametrize("stop_within", [False, True], ids=["at an epoch's end", "within an epoch"])
def test_the_loops_of_a_checkpoint_are_those_that_lightning_writes(tmp_path, stop_within):
    kept = {}

    class Keep(L.Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, index):
            if stop_within and trainer.global_step == STEPS + 2:
                trainer.save_checkpoint(tmp_path / "kept.ckpt")

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(STEPS, 1)), batch_size=1)
    trainer = trainer_of(tmp_path, callbacks=[Keep()], enable_checkpointing=False)
    trainer.fit(Line(), data, data)
    if not stop_within:
        trainer.save_checkpoint(tmp_path / "kept.ckpt")
    kept = torch.load(tmp_path / "kept.ckpt", weights_only=True)["loops"]["fit_loop"]
    steps, epochs = (STEPS + 2, 1) if stop_within else (STEPS * EPOCHS, EPOCHS)
    own = lightning_names.loops_state(epochs, steps, steps, STEPS)["fit_loop"]
    assert set(own) <= set(kept), f"{ADVICE}a checkpoint's loops lack {sorted(set(own) - set(kept))}"
    for name in ("epoch_progress", "epoch_loop.automatic_optimization.optim_progress"):
        for part, counts in flat(own[name]).items():
            assert part in flat(kept[name]), f"{ADVICE}{name} lacks {part}"
            if part.startswith(("total", "optimizer.step.total")) and not part.endswith("current"):
                assert flat(kept[name])[part] == counts, f"{ADVICE}{name}.{part}"


def flat(tree, prefix=""):
    found = {}
    for key, value in tree.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def test_the_trackers_of_epochs_and_steps_are_there_and_move_lightnings_own_counts(tmp_path):
    trainer, module = trainer_of(tmp_path), Line(automatic=False)
    trainer.strategy.connect(module)
    module._trainer = trainer
    try:
        lightning_names.set_place(trainer, epochs=3, steps=7)
        lightning_names.count_steps(trainer, 2)
    except AttributeError as error:
        pytest.fail(f"{ADVICE}{error}")
    assert (trainer.current_epoch, trainer.global_step) == (3, 9), ADVICE
