"""What is shown of a training: maps of its epochs, times and the line of its progress."""

import io
import time

import numpy as np
import pytest
import torch
from small_runs import base, changed, quick, spirals, train  # noqa: F401 (fixtures among them)

from mlplab.nn.mlp import MLP
from mlplab.population.engine import PopulationModule
from mlplab.population.optimizers import Adam
from mlplab.runs import checkpoint
from mlplab.runs.manifest import read_status
from mlplab.training.callbacks import MemberCallback, Progress
from mlplab.training.callbacks.decision_maps import log_spaced, map_of
from mlplab.training.fit import fit_members
from mlplab.training.plane import decision_grid
from mlplab.training.trainers import BlockTrainer

# Maps.


def test_a_map_is_the_network_at_each_pixels_centre():
    models = [MLP(2, [5], 3, seed=seed) for seed in (0, 1)]
    classifier = PopulationModule(models)
    grid = map_of(classifier, 1, (-1.0, 3.0, -2.0, 0.0), 4)
    assert grid.shape == (4, 4, 3) and grid.dtype == np.float32
    for row, x2 in enumerate((-1.75, -1.25, -0.75, -0.25)):
        for column, x1 in enumerate((-0.5, 0.5, 1.5, 2.5)):
            expected = models[1](torch.tensor([[x1, x2]])).softmax(1)[0].detach()
            np.testing.assert_allclose(grid[row, column], expected, rtol=1e-5)


def test_the_maps_of_a_run_are_of_their_own_epochs(base, tmp_path):
    whole = tmp_path / "run"
    train(changed(base, optimizer__lr=0.05), whole)  # so that no two accuracies are those of chance
    arrays = np.load(whole / "figures" / "arrays.npz")
    assert arrays["map_epochs"].tolist() == [0, 1, 2, 4]
    places = decision_grid(8, tuple(arrays["extent"]))
    states = {
        0: MLP(2, [6], 4, seed=0).state_dict(),
        -1: checkpoint.load(whole / "checkpoints" / "last.ckpt")["state_dict"],
    }
    for place, state in states.items():
        model = MLP(2, [6], 4, seed=0)
        model.load_state_dict(state)
        expected = model(places).softmax(1).detach().reshape(8, 8, 4)
        np.testing.assert_allclose(arrays["maps"][place], expected, atol=1e-3)  # kept in half precision
        with torch.no_grad():
            accuracy = (model(torch.from_numpy(arrays["points"])).argmax(1).numpy() == arrays["labels"]).mean()
        own = checkpoint.load(whole / "checkpoints" / "last.ckpt")["mlplab"]["callbacks"]["DecisionMaps"]["accuracies"]
        assert own[arrays["map_epochs"].tolist()[place]] == pytest.approx(accuracy)


def test_log_spaced_epochs():
    assert log_spaced(1) == [0, 1] and log_spaced(30) == [0, 1, 2, 5, 10, 20, 30]


def test_a_member_that_has_ended_is_drawn_no_more(base, tmp_path):
    for name in "01":
        (tmp_path / name).mkdir()
    fit_members([changed(base, seed=0), changed(base, seed=1, optimizer__lr=1e30)], [tmp_path / "0", tmp_path / "1"])
    drawn = [sorted(path.name for path in (tmp_path / name / "figures" / "epochs").iterdir()) for name in "01"]
    assert drawn == [[f"epoch_{epoch:05d}.png" for epoch in epochs] for epochs in ((0, 1, 2, 4), (0,))]


def test_seconds_add_up_over_the_sessions_and_the_heart_beats(base, tmp_path):
    beats = []

    class Slow(MemberCallback):
        def on_train_start(self, trainer, classifier):
            beats.append(read_status(tmp_path / "run")["heartbeat"])

        def on_epoch(self, trainer, classifier):
            time.sleep(0.25)
            classifier.interrupted |= classifier.epochs == 2

        def on_train_end(self, trainer, classifier):
            beats.append(read_status(tmp_path / "run")["heartbeat"])

    (tmp_path / "run").mkdir()
    with pytest.raises(KeyboardInterrupt):
        fit_members([quick(base)], [tmp_path / "run"], observer=Slow())
    assert beats[1] > beats[0]
    before = checkpoint.load(tmp_path / "run" / "checkpoints" / "last.ckpt")["mlplab"]["callbacks"]["Timing"]["seconds"]
    assert before >= 0.5
    assert train(quick(base), tmp_path / "run", resume=True)["seconds"]["fit"] > before


def test_without_a_terminal_progress_prints_lines():
    stream = io.StringIO()
    classifier = PopulationModule(MLP(2, [6], 4, seed=0), optimizer=lambda p: Adam(p, lr=0.01))
    BlockTrainer(accelerator="cpu", max_epochs=3, callbacks=[Progress(stream=stream)]).fit(classifier, spirals())
    first, *_, last = stream.getvalue().splitlines()
    assert first.startswith("epoch 1/3  train 1.") and first.endswith("s left")
    assert last.startswith("epoch 3/3  train 1.") and " %  val 1." in last and last.endswith(" %")


@pytest.mark.parametrize("terminal", [False, True])
def test_a_run_goes_on_where_nobody_reads_its_progress_any_more(terminal):
    class Broken(io.StringIO):
        def isatty(self):
            return terminal

        def write(self, text):
            raise BrokenPipeError

    classifier = PopulationModule(MLP(2, [4], 4, seed=0))
    callbacks = [Progress(every_seconds=0, stream=Broken())]
    BlockTrainer(accelerator="cpu", max_epochs=3, callbacks=callbacks).fit(classifier, spirals())
    assert classifier.epochs == 3
