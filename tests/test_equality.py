"""The engine and Lightning's own loop: the same weights after the same training, for every feature that the engine knows."""

from functools import partial

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

import mlplab
from mlplab.nn.activations import ACTIVATIONS
from mlplab.population.schedules import Constant, Cosine, OneCycle, Step
from mlplab.training.callbacks import MemberCallback

ADAM = partial(torch.optim.Adam, lr=1e-2)
QUIET = pytest.mark.filterwarnings("ignore")
# name: (options of the trainer, of the classifier, of the network, of the data)
FEATURES = {
    "adam": ({}, {}, {}, {}),
    "adam, weight decay and betas": (
        {},
        {"optimizer": partial(torch.optim.Adam, lr=1e-2, weight_decay=0.1, betas=(0.8, 0.95), eps=1e-6)},
        {},
        {},
    ),
    "adamw": ({}, {"optimizer": partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.2)}, {}, {}),
    "sgd": ({}, {"optimizer": partial(torch.optim.SGD, lr=0.1)}, {}, {}),
    "sgd, momentum": ({}, {"optimizer": partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=1e-3)}, {}, {}),
    "sgd, nesterov": ({}, {"optimizer": partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True)}, {}, {}),
    "constant": ({}, {"schedule": Constant()}, {}, {}),
    "cosine": ({}, {"schedule": Cosine(final_fraction=0.1, warmup_epochs=1)}, {}, {}),
    "one cycle": ({}, {"schedule": OneCycle()}, {}, {}),
    "step": ({}, {"schedule": Step(every_epochs=1, factor=0.5)}, {}, {}),
    "clipping by norm": ({"gradient_clip_val": 0.05}, {}, {}, {}),
    "clipping by value": ({"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"}, {}, {}, {}),
    "accumulation": ({"accumulate_grad_batches": 3}, {"schedule": Cosine()}, {}, {}),
    "accumulation, clipping": ({"accumulate_grad_batches": 4, "gradient_clip_val": 0.05}, {}, {}, {}),
    "the last short minibatch": ({}, {}, {}, {"drop_last": False}),
    "max_steps": ({"max_steps": 25}, {"schedule": Cosine()}, {}, {}),
    "a number of batches": ({"limit_train_batches": 5}, {"schedule": Cosine()}, {}, {}),
    "a fraction of batches": ({"limit_train_batches": 0.5}, {"schedule": OneCycle()}, {}, {}),
    "validation now and then": ({"check_val_every_n_epoch": 2}, {}, {}, {}),
    "label smoothing": ({}, {"loss": mlplab.CrossEntropy(label_smoothing=0.1)}, {}, {}),
    "class weights": (
        {},
        {"loss": mlplab.CrossEntropy(weight=torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64))},
        {},
        {},
    ),
    "an ignored class": ({}, {"loss": mlplab.CrossEntropy(ignore_index=2)}, {}, {}),
    "torch's loss": ({}, {"loss": nn.CrossEntropyLoss()}, {}, {}),
    "torch's loss, options": (
        {},
        {
            "loss": nn.CrossEntropyLoss(
                torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64), label_smoothing=0.1, ignore_index=1
            )
        },
        {},
        {},
    ),
    "margin loss": ({}, {"loss": nn.MultiMarginLoss(p=2, margin=0.7)}, {}, {}),
    "dropout": ({}, {}, {"dropout": 0.3}, {}),
    "three classes": ({}, {}, {}, {"arms": 3}),
    **{f"depth {depth}": ({}, {}, {"hidden": [7] * depth, "activation": "tanh"}, {}) for depth in (0, 1, 3, 8)},
    **{name: ({}, {}, {"activation": name}, {}) for name in ACTIVATIONS},
}


def classifier(options, network, classes=4, kind=torch.float64, seed=3):
    model = mlplab.MLP(
        2, network.get("hidden", [33, 17]), classes, seed=seed, **{k: v for k, v in network.items() if k != "hidden"}
    )
    return mlplab.Classifier(model.to(kind), **{"optimizer": ADAM, "seed": 5} | options)


def spirals(kind=torch.float64, **options):
    data = mlplab.SpiralDataModule(
        points_per_arm=80, **{"batch_size": 16, "fresh_points": 0, "validation_points": 40} | options
    )
    data.setup()
    for part in ("train", "validation", "test"):
        points = getattr(data, part)
        setattr(data, part, type(points)(points.x.to(kind), points.y))
    return data


def weights(module):
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


class Epochs(MemberCallback):
    """Keep every epoch's metrics."""

    def __init__(self):
        self.seen = []

    def on_epoch(self, trainer, members):
        self.seen.append({name: float(value[0]) for name, value in members.metrics.items()})


def trained(engine, feature, kind=torch.float64):
    trainer, options, network, data = feature
    module = classifier(options, network, data.get("arms", 4), kind)
    before = weights(module)
    precision = "64-true" if kind == torch.float64 else "32-true"
    epochs = Epochs()
    result = mlplab.fit(
        module, spirals(kind, **data), engine=engine, callbacks=[epochs], max_epochs=4, precision=precision, **trainer
    )
    result["metrics of each epoch"] = epochs.seen
    assert result["engine"] == engine
    assert float((weights(module) - before).abs().max()) > 1e-3  # something was learned
    return weights(module), result


@QUIET
@pytest.mark.parametrize("name", FEATURES)
def test_both_engines_train_to_the_same_weights_in_float64(name):
    (own, result), (ordinary, expected) = (trained(engine, FEATURES[name]) for engine in ("population", "lightning"))
    for name in ("steps", "epochs", "best_epoch"):
        assert result[name] == expected[name], name
    for row, wanted in zip(result["metrics of each epoch"], expected["metrics of each epoch"], strict=True):
        assert row == pytest.approx(wanted, rel=2e-6)  # Lightning sums metrics in float32
    assert float((own - ordinary).abs().max() / ordinary.abs().max()) < 1e-9


@QUIET
@pytest.mark.parametrize("name", ["adam", "sgd, momentum", "cosine", "dropout", "clipping by norm"])
def test_both_engines_agree_to_rounding_in_float32(name):
    (own, _), (ordinary, _) = (trained(engine, FEATURES[name], torch.float32) for engine in ("population", "lightning"))
    assert float((own - ordinary).abs().max() / ordinary.abs().max()) < 1e-3


@QUIET
def test_members_of_a_population_become_what_each_becomes_alone():
    rates = (1e-3, 1e-2, 3e-2)
    together = [
        classifier({"optimizer": partial(torch.optim.Adam, lr=rate), "seed": i}, {"dropout": 0.2}, seed=i)
        for i, rate in enumerate(rates)
    ]
    alone = [
        classifier({"optimizer": partial(torch.optim.Adam, lr=rate), "seed": i}, {"dropout": 0.2}, seed=i)
        for i, rate in enumerate(rates)
    ]
    results = mlplab.fit(together, spirals(), callbacks=[], max_epochs=3, precision="64-true")
    assert [result["engine"] for result in results] == ["population"] * 3
    for module, other in zip(together, alone):
        mlplab.fit(other, spirals(), engine="lightning", callbacks=[], max_epochs=3, precision="64-true")
        assert float((weights(module) - weights(other)).abs().max()) < 1e-9


@QUIET
def test_a_module_that_is_no_mlp_is_walked_to_the_same_weights():
    def module():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return mlplab.Classifier(
                nn.Sequential(
                    nn.Linear(2, 12, bias=False), nn.BatchNorm1d(12), nn.Tanh(), nn.Dropout(0.2), nn.Linear(12, 4)
                ).double(),
                optimizer=ADAM,
                seed=7,
            )

    own, ordinary = module(), module()
    assert mlplab.fit(own, spirals(), callbacks=[], max_epochs=3, precision="64-true")["engine"] == "population"
    mlplab.fit(ordinary, spirals(), engine="lightning", callbacks=[], max_epochs=3, precision="64-true")
    for name, value in ordinary.state_dict().items():
        assert torch.allclose(own.state_dict()[name], value, rtol=1e-9, atol=1e-12), name


class Own(mlplab.Classifier):
    """A classifier with a hook of a person's own."""

    def on_train_epoch_start(self):
        self.seen = True


def frozen():
    module = classifier({}, {}, kind=torch.float32)
    module.freeze()
    return module


def hooked():
    module = classifier({}, {}, kind=torch.float32)
    module.model.layers[0].register_forward_hook(lambda *_: None)
    return module


def plain(**options):
    return classifier(options, {}, kind=torch.float32)


@pytest.mark.parametrize(
    ("make", "options", "reason"),
    [
        (lambda: Own(mlplab.MLP(2, [4], 4, seed=0)), {}, "the module is Own, not Classifier itself"),
        (frozen, {}, "nothing to train"),
        (hooked, {}, "has hooks"),
        (lambda: plain(loss=Squared()), {}, "the loss is Squared"),
        (lambda: plain(optimizer=torch.optim.RMSprop), {}, "the optimizer is RMSprop"),
        (lambda: plain(optimizer=partial(torch.optim.Adam, amsgrad=True)), {}, "optimizer.amsgrad=True"),
        (lambda: plain(schedule=partial(torch.optim.lr_scheduler.StepLR, step_size=1)), {}, "the schedule is StepLR"),
        (plain, {"precision": "bf16-mixed"}, "trainer.precision=bf16-mixed"),
        (plain, {"val_check_interval": 0.5}, "trainer.val_check_interval=0.5"),
        (plain, {"limit_val_batches": 1}, "trainer.limit_val_batches=1"),
        (plain, {"overfit_batches": 2}, "trainer.overfit_batches=2"),
        (plain, {"fast_dev_run": True}, "trainer.fast_dev_run=True"),
    ],
)
def test_the_plan_says_why_a_job_is_not_plain(make, options, reason):
    from mlplab.errors import InputError
    from mlplab.training.plan import plan

    chosen = plan(make(), spirals(torch.float32), options, [])
    assert chosen.engine == "lightning" and reason in chosen.reason
    with pytest.raises(InputError, match="trainer.engine=population cannot train this"):
        plan(make(), spirals(torch.float32), options, [], "population")
    assert plan(plain(), spirals(torch.float32), {}, []).engine == "population"


def test_a_callback_that_looks_at_minibatches_is_trained_with_minibatch_by_minibatch():
    class Counter(MemberCallback):
        count = 0

        def on_train_batch_end(self, *_):
            self.count += 1

    counter = Counter()
    result = mlplab.fit(plain(), spirals(torch.float32), callbacks=[counter], max_epochs=2)
    assert result["engine"] == "lightning" and "Counter has its own on_train_batch_end" in result["engine_reason"]
    assert counter.count == result["steps"]


class Squared(mlplab.CrossEntropy):
    """A loss that inherits how the lab's is taken of many minibatches, and is another one."""

    def forward(self, logits, labels):
        value = super().forward(logits, labels) ** 2
        return value if self.training else value + 1.0  # Lightning validates in evaluation mode


def test_a_loss_of_ones_own_is_the_one_that_is_trained():
    data, plain_weights = spirals(torch.float32), plain(loss=Squared()).model
    shown = []

    class Shown(Callback):
        def on_validation_epoch_end(self, trainer, module):
            shown.append(float(trainer.callback_metrics["val/loss"]))

    result = mlplab.fit(module := plain(loss=Squared()), data, max_epochs=2, callbacks=[Shown()])
    optimizer = ADAM(plain_weights.parameters())
    for epoch in range(2):
        for batch in data.order(epoch)[: len(data.train.y) // 16 * 16].split(16):
            optimizer.zero_grad()
            (nn.functional.cross_entropy(plain_weights(data.train.x[batch]), data.train.y[batch]) ** 2).backward()
            optimizer.step()
    assert result["engine"] == "lightning"
    for own, other in zip(module.model.parameters(), plain_weights.parameters()):
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        loss = nn.functional.cross_entropy(plain_weights(data.validation.x), data.validation.y) ** 2 + 1.0
    assert shown[-1] == pytest.approx(float(loss), rel=1e-5)
