"""A module as Lightning's first page shows it, without the lab's names: a run from the command line, evaluated and loaded."""

import torch

import mlplab
from mlplab.cli.app import main

MODULE = """
import lightning.pytorch as L
import torch
from torch import nn


class Plain(L.LightningModule):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.net = nn.Linear(in_features, out_features)

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, index):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch, index):
        self.log("val/loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)
"""
SMALL = ["trainer.max_epochs=2", "data.points_per_arm=60", "data.fresh_points=200", "figures=none"]


def test_a_plain_module_without_the_labs_names_trains_and_is_loaded(tmp_path, monkeypatch):
    (tmp_path / "plain_module_here.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLPLAB_TRUST", "plain_module_here")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(
        ["train", "module._target_=plain_module_here.Plain", f"paths.logs={tmp_path / 'logs'}", "name=p", *SMALL]
    ) in (0, None)
    (folder,) = (tmp_path / "logs" / "train").iterdir()
    assert main(["evaluate", str(folder)]) in (0, None)
    assert mlplab.load(folder).model(torch.ones(1, 2)).shape == (1, 4)


def refused(words, capsys):
    code = main(words)
    return code, capsys.readouterr().err


def test_what_does_not_fit_is_one_line(tmp_path, capsys):
    logs = f"paths.logs={tmp_path}"
    step = ["schedule._target_=torch.optim.lr_scheduler.StepLR", "+schedule._partial_=true", "+schedule.step_size=1"]
    for words, expected in (
        (["schedule=cosine", *step], "leave it out with ~schedule."),
        (["optimizer._target_=torch.optim.RMSprop"], "leave it out with ~optimizer.betas"),
        (["trainer.devices=2"], "is 2 processes, and a run is one"),
    ):
        code, text = refused(["train", *words, *SMALL, logs], capsys)
        assert code == 2 and expected in " ".join(text.split())


def test_torchs_own_classes_in_place_of_the_labs(tmp_path):
    step = ["schedule._target_=torch.optim.lr_scheduler.StepLR", "+schedule._partial_=true", "+schedule.step_size=1"]
    left_out = ["~schedule.final_fraction", "~schedule.warmup_epochs"]
    assert main(["train", "schedule=cosine", *step, *left_out, *SMALL, f"paths.logs={tmp_path}"]) in (0, None)
