"""Each option of Lightning's Trainer keeps its meaning under block loading, or is refused by name."""

import logging
import math

import pytest
import torch

from mlplab.data.modules import SpiralDataModule
from mlplab.errors import InputError
from mlplab.nn.mlp import MLP
from mlplab.population.blocks import BlockLoader, Serving
from mlplab.population.engine import PopulationModule
from mlplab.population.optimizers import SGD, Adam
from mlplab.population.schedules import Cosine
from mlplab.training.callbacks import DecisionMaps, MemberCallback
from mlplab.training.trainers import BlockTrainer

PLAIN_LIGHTNING = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:.*smaller than the logging",
    "ignore:.*treespec",
    "ignore:.*fast_dev_run",
)


def make_data(**options):
    """64 train points: 8 minibatches of 8."""
    defaults = {"points_per_arm": 20, "batch_size": 8, "validation_points": 12, "fresh_points": 0}
    return SpiralDataModule(**defaults | options)


def make(members=1, **options):
    models = [MLP(2, [6], 4, seed=seed) for seed in range(members)]
    return PopulationModule(models, **{"optimizer": lambda p: Adam(p, lr=0.01)} | options)


class Watch(MemberCallback):
    """Note what each epoch came to."""

    def __init__(self):
        self.epochs = []

    def on_epoch(self, trainer, classifier):
        self.epochs.append((classifier.steps, trainer.global_step, dict(classifier.metrics)))


def fit(classifier, data=None, trainer=BlockTrainer, **options):
    watch = Watch()
    own = trainer(accelerator="cpu", callbacks=[watch, *options.pop("callbacks", [])], **options)
    own.fit(classifier, datamodule=data or make_data())
    return own, watch.epochs


@pytest.fixture(params=(1, 3, 1000))
def serving(request):
    """Blocks of 1, of 3 and of all the 8 minibatches of an epoch."""
    return Serving(minibatches=request.param)


def by_hand(steps, *, every=1, clip=None, data=None, lr=0.5):
    """Plain SGD, one minibatch after the other, with torch's own modules."""
    data = data or make_data()
    data.setup()
    model = MLP(2, [6], 4, seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    done, epoch = 0, 0
    while done < steps:
        order, epoch = data.order(epoch), epoch + 1
        for k in range(8):
            chosen = order[8 * k : 8 * k + 8]
            loss = torch.nn.functional.cross_entropy(model(data.train.x[chosen]), data.train.y[chosen])
            (loss / every).backward()
            if (k + 1) % every == 0 or k == 7:
                if clip == "norm":
                    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
                elif clip == "value":
                    torch.nn.utils.clip_grad_value_(model.parameters(), 0.01)
                optimizer.step()
                optimizer.zero_grad()
                done += 1
                if done == steps:
                    break
    return model


def sgd(lr=0.5):
    return make(optimizer=lambda p: SGD(p, lr=lr))


def assert_close(classifier, model):
    own = classifier.population.split(classifier.population.theta[0])
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(own[name], parameter.detach(), rtol=1e-4, atol=1e-6)


def test_max_epochs_and_the_true_step_count(serving):
    classifier = sgd()
    trainer, epochs = fit(classifier, max_epochs=3, serving=serving)
    assert [(steps, seen) for steps, seen, _ in epochs] == [(8, 8), (16, 16), (24, 24)]
    assert (trainer.global_step, trainer.current_epoch, classifier.epochs) == (24, 3, 3)
    assert_close(classifier, by_hand(24))


@pytest.mark.parametrize("max_steps", (1, 7, 8, 9, 20))
def test_max_steps(serving, max_steps):
    classifier = sgd()
    trainer, epochs = fit(classifier, max_epochs=3, max_steps=max_steps, serving=serving)
    assert classifier.steps == trainer.global_step == max_steps
    assert len(epochs) == classifier.epochs == -(-max_steps // 8)
    assert_close(classifier, by_hand(max_steps))


def test_max_steps_without_a_limit_of_epochs():
    classifier = make(schedule=Cosine())
    trainer, epochs = fit(classifier, max_epochs=-1, max_steps=20)
    assert trainer.global_step == 20 and len(epochs) == 3
    assert classifier.total_epochs == 3
    assert [classifier.factor(step) for step in (0, 10)] == pytest.approx([1, 0.5])


def test_the_schedule_spans_the_steps_that_are_taken():
    for options, steps in (({"max_epochs": 2}, 16), ({"max_epochs": 9, "max_steps": 12}, 12)):
        classifier = make(schedule=Cosine())
        fit(classifier, **options)
        assert classifier.factor(steps // 2) == pytest.approx(0.5)
        assert classifier.factor(steps) == pytest.approx(0)


@pytest.mark.parametrize(("limit", "per_epoch"), ((3, 3), (0.5, 4), (1, 1), (1.0, 8), (100, 8), (0.99, 7)))
def test_limit_train_batches_counts_minibatches(serving, limit, per_epoch):
    classifier = make()
    trainer, _ = fit(classifier, max_epochs=2, limit_train_batches=limit, serving=serving)
    assert trainer.global_step == classifier.steps == 2 * per_epoch


@pytest.mark.parametrize(
    "options", ({"limit_train_batches": 0}, {"limit_train_batches": 0.1}, {"overfit_batches": 0.1})
)
def test_a_limit_that_leaves_nothing_is_refused_by_name(options):
    ((name, value),) = options.items()
    with pytest.raises(InputError, match=f"trainer.{name}={value} leaves no minibatch of 8"):
        fit(make(), max_epochs=1, **options)


def test_overfit_batches_trains_and_validates_on_the_same_minibatches(serving):
    classifier = make(optimizer=lambda p: Adam(p, lr=0.1))
    data = make_data()
    trainer, epochs = fit(classifier, data, max_epochs=60, overfit_batches=2, serving=serving)
    assert trainer.global_step == 120
    metrics = epochs[-1][2]
    assert metrics["val/accuracy"].item() > 0.9
    logits = classifier.population.forward(data.train.x[None, :16])[0]
    loss = torch.nn.functional.cross_entropy(logits, data.train.y[:16])
    assert metrics["val/loss"].item() == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.parametrize("count", (True, 1, 3))
def test_fast_dev_run(count):
    classifier = make()
    trainer, epochs = fit(classifier, max_epochs=50, fast_dev_run=count, logger=True)
    assert trainer.global_step == int(count) and trainer.loggers == []
    assert len(epochs) == 1 and "val/loss" in epochs[0][2]


def test_check_val_every_n_epoch(serving):
    _, epochs = fit(make(), max_epochs=7, check_val_every_n_epoch=3, serving=serving)
    assert ["val/loss" in metrics for *_, metrics in epochs] == [False, False, True, False, False, True, False]


@pytest.mark.parametrize("every", (2, 3, 4, 8, 20))
def test_accumulate_grad_batches(serving, every):
    """The last minibatch of an epoch always makes a step, as in Lightning."""
    classifier = make(optimizer=lambda p: SGD(p, lr=0.5))
    trainer, _ = fit(classifier, max_epochs=2, accumulate_grad_batches=every, serving=serving)
    steps = 2 * math.ceil(8 / every)
    assert trainer.global_step == classifier.steps == steps
    assert_close(classifier, by_hand(steps, every=every))


def test_accumulated_gradients_are_those_of_a_larger_batch(serving):
    whole, parts = sgd(), sgd()
    fit(whole, make_data(batch_size=32), max_epochs=3, serving=serving)
    fit(parts, max_epochs=3, accumulate_grad_batches=4, serving=serving)
    assert whole.steps == parts.steps == 6
    torch.testing.assert_close(whole.population.theta, parts.population.theta, rtol=1e-5, atol=1e-7)


def test_accumulation_respects_max_steps(serving):
    classifier = sgd()
    trainer, _ = fit(classifier, max_epochs=5, max_steps=5, accumulate_grad_batches=3, serving=serving)
    assert trainer.global_step == classifier.steps == 5
    assert_close(classifier, by_hand(5, every=3))


@pytest.mark.parametrize(("algorithm", "limit"), (("norm", 0.1), ("value", 0.01)))
def test_gradient_clip_val(serving, algorithm, limit):
    classifier = sgd()
    fit(classifier, max_epochs=1, gradient_clip_val=limit, gradient_clip_algorithm=algorithm, serving=serving)
    assert_close(classifier, by_hand(8, clip=algorithm))


@pytest.mark.parametrize("algorithm", ("norm", "value"))
def test_clipping_is_each_members_own(algorithm):
    options = {"max_epochs": 2, "gradient_clip_val": 0.05, "gradient_clip_algorithm": algorithm}

    def build(seeds, scale=1.0):
        models = [MLP(2, [6], 4, seed=seed) for seed in seeds]
        with torch.no_grad():
            models[-1].layers[-1].weight *= scale
        return PopulationModule(models)

    data = make_data()
    data.setup()

    def loader(members):
        return BlockLoader(data.train.x[None], data.train.y[None], [data.order] * members, batch_size=8)

    def run(classifier):
        own = BlockTrainer(accelerator="cpu", **options)
        own.fit(classifier, train_dataloaders=loader(classifier.members))
        return classifier.population.theta

    together, beside_nan = run(build([0, 1, 2])), run(build([0, 1, 2], scale=math.nan))
    assert torch.equal(together[0], run(build([0]))[0])
    assert torch.equal(together[:2], beside_nan[:2]) and not torch.equal(together[2], beside_nan[2])


def test_double_precision():
    double, single = make(), make()
    trainer, _ = fit(double, max_epochs=2, precision="64-true")
    fit(single, max_epochs=2)
    assert double.population.theta.dtype == torch.float64 == double.theta.dtype
    assert double.population.member(0).layers[0].weight.dtype == torch.float64
    torch.testing.assert_close(double.population.theta.float(), single.population.theta, rtol=1e-3, atol=1e-4)
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("precision", ("16-mixed", "bf16-mixed", "bf16-true", "16-true", "nonsense", "32"))
def test_other_precisions_are_refused_by_name(precision):
    with pytest.raises(InputError, match=f"trainer.precision must be one of 32-true, 64-true, got '{precision}'"):
        BlockTrainer(accelerator="cpu", precision=precision)


@pytest.mark.parametrize("profiler", ("simple", "advanced"))
def test_profiler_reports_training_steps(profiler):
    log, heard = logging.getLogger("lightning.pytorch"), []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())
    log.addHandler(handler)
    try:
        fit(make(), max_epochs=2, profiler=profiler)
    finally:
        log.removeHandler(handler)
    assert "Profiler Report" in "".join(heard) and "training_step" in "".join(heard)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_epochs", -2),
        ("max_epochs", 1.5),
        ("max_epochs", "a"),
        ("max_steps", -7),
        ("limit_train_batches", -1),
        ("limit_train_batches", 2.5),
        ("limit_train_batches", "x"),
        ("overfit_batches", -1),
        ("overfit_batches", 1.5),
        ("accumulate_grad_batches", 0),
        ("accumulate_grad_batches", 1.5),
        ("gradient_clip_val", -1),
        ("gradient_clip_val", float("nan")),
        ("gradient_clip_algorithm", "foo"),
        ("fast_dev_run", -1),
        ("fast_dev_run", "x"),
        ("devices", 2),
        ("devices", [0, 1]),
        ("check_val_every_n_epoch", -1),
    ],
)
def test_options_out_of_range_are_refused_in_one_line(name, value):
    with pytest.raises(InputError, match=f"^trainer.{name} must be .*, got ") as caught:
        BlockTrainer(accelerator="cpu", **{name: value})
    assert "\n" not in str(caught.value)


def test_one_device_unless_asked_for():
    assert BlockTrainer(accelerator="cpu").num_devices == 1


def test_a_loader_of_single_minibatches_is_refused_by_name():
    loader = torch.utils.data.DataLoader([0, 1])
    with torch.random.fork_rng(), pytest.raises(InputError, match="trains from a BlockLoader .* got DataLoader"):
        BlockTrainer(accelerator="cpu", max_epochs=1).fit(make(), train_dataloaders=loader)


def test_maps_without_jobs_are_refused():
    with pytest.raises(InputError, match="DecisionMaps"):
        fit(make(), max_epochs=1, callbacks=[DecisionMaps()])


def test_fitting_changes_no_global_random_state_and_repeats():
    before = torch.get_rng_state()
    first, second = make(), make()
    fit(first, max_epochs=2)
    fit(second, max_epochs=2)
    assert torch.equal(first.population.theta, second.population.theta)
    assert torch.equal(before, torch.get_rng_state())


def test_torchs_own_optimizer_and_loss():
    """A population of many, more than one run of the cache, under an optimiser that steps all at once."""
    own = make(40)
    fit_many(own)
    theirs = make(40, optimizer=lambda p: torch.optim.Adam(p, lr=0.01, fused=True))
    fit_many(theirs)
    assert torch.equal(own.population.theta, theirs.population.theta)
    by_torch = make(40, loss=torch.nn.CrossEntropyLoss())
    fit_many(by_torch)
    torch.testing.assert_close(own.population.theta, by_torch.population.theta, rtol=1e-2, atol=1e-3)


def fit_many(classifier):
    data = make_data()
    data.setup()
    loader = BlockLoader(data.train.x[None], data.train.y[None], [data.order] * 40, batch_size=8)
    BlockTrainer(accelerator="cpu", max_epochs=1).fit(classifier, train_dataloaders=loader)
