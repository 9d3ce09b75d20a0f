"""The pages' arithmetic in a real browser is the lab's: draws, data, limits, networks and their training."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from mlplab.data import modules
from mlplab.data.bayes import log_posterior
from mlplab.nn.mlp import MLP
from mlplab.pages.page import json_for_script, page
from mlplab.population import schedules
from mlplab.seeds import derive, generator
from mlplab.training.plane import decision_grid

MODULES = {
    "spiral": modules.SpiralDataModule,
    "circles": modules.CirclesDataModule,
    "moons": modules.MoonsDataModule,
    "xor": modules.XorDataModule,
    "blobs": modules.BlobsDataModule,
}
SETTING = {
    "t_min": 0,
    "t_max": 1,
    "rotation_degrees": 0,
    "seed": 5,
    "batch_size": 128,
    "drop_last": True,
    "test_fraction": 0.2,
    "validation_points": 800,
    "fresh_points": 1000,
}


@pytest.fixture(scope="module")
def core(browser, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "core.html"
    path.write_text(page("core.html", {}), encoding="utf-8")
    browser.open(path.as_uri())
    browser.warnings()  # of other pages
    yield browser
    assert browser.warnings() == []


def test_a_page_holds_what_its_template_names_and_no_markup_of_its_data():
    text = page("core.html", {"name": "</script><b>&\u2028"}, title="<i>&")
    assert "class Generator" in text and "src=" not in text and "<b>" not in text
    assert "<title>&lt;i&gt;&amp;</title>" in text
    assert json.loads(json_for_script({"a": "<", "b": np.float32(2), "c": float("nan")})) == {
        "a": "<",
        "b": 2,
        "c": None,
    }
    assert json.loads(json_for_script([np.arange(3), (1, "x", np.True_), np.array([np.nan])])) == [
        [0, 1, 2],
        [1, "x", True],
        [None],
    ]


@pytest.mark.parametrize("labels", [("weights",), ("order", 12), ("fresh",)])
def test_seeds_and_streams_are_torchs(core, labels):
    found = core.script(
        """const [seed, labels] = arguments, d = derive(seed, ...labels), list = a => Array.from(a)
        const g = new Generator(d)
        return [d, list(g.permutation(1000)), list(g.normal(20)), list(g.normal(5)), list(g.normal(16)), g.uniform()]""",
        7,
        list(labels),
    )
    stream = generator(7, *labels)
    assert found[0] == derive(7, *labels) & 0xFFFFFFFF
    assert found[1] == torch.randperm(1000, generator=stream).tolist()
    for values, size in zip(found[2:5], (20, 5, 16)):
        np.testing.assert_allclose(values, torch.randn(size, generator=stream), atol=2e-6)
    assert found[5] == pytest.approx(torch.rand(1, generator=stream).item(), abs=1e-7)


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("points", [7, 500])
def test_data_and_their_limits(core, name, points):
    more = {"arms": 3, "rotation_degrees": 20.0, "t_min": 0.1} if name == "spiral" else {}
    own = {"points_per_arm" if name == "spiral" else "points_per_class": points, "batch_size": 4}
    data = MODULES[name](seed=5, fresh_points=1000, **own, **more)
    data.setup()
    setting = {**SETTING, **more, "name": name, "classes": data.classes, "points": points, "noise": data.noise}
    found = core.script(
        """const s = arguments[0], made = parts(s), law = density(s), out = {}
        for (const [name, p] of Object.entries(made)) {
          const L = logPosterior(p.x, p.count, law)
          out[name] = {x: Array.from(p.x), y: Array.from(p.y), posterior: Array.from(L), score: scoreOf(L, p, s.classes)}
        }
        const places = grid(25, [-2, 2, -1.5, 2])
        return {...out, map: Array.from(logPosterior(places.x, places.count, law), Math.exp)}""",
        setting,
    )
    for part in ("train", "validation", "test", "fresh"):
        points_of, mine = getattr(data, part), found[part]
        count = len(points_of.y)
        assert mine["y"] == points_of.y.tolist()
        np.testing.assert_allclose(np.reshape(mine["x"], (2, count)).T, points_of.x, atol=2e-6)
        truth = data.log_posterior(part).T.numpy()
        np.testing.assert_allclose(np.exp(np.reshape(mine["posterior"], truth.shape)), np.exp(truth), atol=1e-4)
    grid = decision_grid(25, (-2.0, 2.0, -1.5, 2.0))
    bayes = log_posterior(grid, data.density).exp().T.numpy()
    np.testing.assert_allclose(np.reshape(found["map"], bayes.shape), bayes, atol=1e-3)


ACTIVATIONS = [
    "relu",
    "tanh",
    "gelu",
    "silu",
    "elu",
    "sigmoid",
    "identity",
    "leaky_relu",
    {"name": "leaky_relu", "negative_slope": 0.3},
    "lif_rate",
    {"name": "lif_rate", "resistance": 2.0, "tau_ref": 0.2},
    ["tanh", {"name": "elu", "alpha": 0.5}],
]


@pytest.mark.parametrize("wasm", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_forward_loss_and_gradient(core, activation, wasm):
    model = MLP(2, [13, 5], 3, activation=activation, seed=4)
    x = torch.randn(100, 2, generator=torch.Generator().manual_seed(1)) * 2
    y = torch.arange(100) % 3
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    found = core.script(
        """const [activation, x, y, wasm] = arguments, shape = new Shape([2, 13, 5, 3], activation)
        const heap = new Heap(1e5, {wasm}), theta = heap.take(shape.size), gradient = heap.take(shape.size)
        const pass = new Pass(heap, shape, y.length), weights = initialWeights(shape, derive(4, 'weights'))
        heap.f.set(weights, theta)
        pass.load(Float32Array.from(x))
        const z = pass.forward(theta), rows = [0, 1, 2].map(k => Array.from(heap.f.subarray(z + k * pass.width, z + k * pass.width + y.length)))
        const [loss] = pass.backward(theta, gradient, y)
        return {wasm: !!heap.kernels, rows, loss, weights: Array.from(weights), gradient: Array.from(heap.f.subarray(gradient, gradient + shape.size)), state: toState(shape, weights)}""",
        activation,
        x.T.flatten().tolist(),
        y.tolist(),
        wasm,
    )
    assert found["wasm"] == wasm

    def flat(values):
        return torch.cat([value.flatten() for value in values]).detach().numpy()

    np.testing.assert_allclose(found["weights"], flat(model.parameters()), rtol=0, atol=0)
    np.testing.assert_allclose(np.array(found["rows"]).T, model(x).detach(), atol=1e-5)
    assert found["loss"] == pytest.approx(loss.item(), abs=1e-5)
    np.testing.assert_allclose(found["gradient"], flat(p.grad for p in model.parameters()), atol=1e-5)
    again = MLP(2, [13, 5], 3, activation=activation, seed=0)
    again.load_state_dict({name: torch.tensor(value) for name, value in found["state"].items()})
    assert torch.equal(again.layers[0].weight, model.layers[0].weight)


@pytest.mark.parametrize("initialization", ["default", "kaiming", "xavier"])
def test_initial_weights(core, initialization):
    model = MLP(2, [40, 30], 4, initialization=initialization, seed=9)
    found = core.script(
        "return Array.from(initialWeights(new Shape([2, 40, 30, 4]), derive(9, 'weights'), arguments[0]))",
        initialization,
    )
    flat = torch.cat([value.flatten() for value in model.parameters()]).detach().numpy()
    np.testing.assert_allclose(found, flat, atol=2e-6)


OPTIMIZERS = {
    "adam": (torch.optim.Adam, {"lr": 3e-3, "weight_decay": 0.1}),
    "adamw": (torch.optim.AdamW, {"lr": 3e-3, "weight_decay": 0.5}),
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    "nesterov": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_ten_steps_from_a_seed_alone(core, name):
    """The page is told seeds; points, weights, order and steps follow as the lab has them."""
    kind, options = OPTIMIZERS[name]
    data = modules.SpiralDataModule(seed=5, order_seed=3)
    data.setup()
    model = MLP(2, [16, 16], 4, seed=3)
    optimizer = kind(model.parameters(), **options)
    order = data.order(0)
    for step in range(10):
        batch = order[128 * step : 128 * (step + 1)]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(data.train.x[batch]), data.train.y[batch]).backward()
        optimizer.step()
    setting = {
        "seed": 3,
        "max_epochs": 100,
        "data": {**SETTING, "name": "spiral", "classes": 4, "points": 1000, "noise": 0.16},
        "model": {"hidden": [16, 16], "activation": "relu", "dropout": 0, "initialization": "default"},
        "optimizer": {"name": "sgd" if name == "nesterov" else name, **options},
        "schedule": {"name": "constant"},
    }
    places = decision_grid(100)
    found = core.script(
        """const s = arguments[0], heap = new Heap(1e6), member = new Member(heap, s, parts(s.data), sharedPasses(heap))
        for (let k = 0; k < 10; k++) member.advance()
        const lens = new Lens(member.shape, member.weights()), places = grid(100, [-2, 2, -2, 2]), p = lens.probabilities(places.x, places.count)
        return {theta: Array.from(member.weights()), nll: member.measure(member.data.validation),
                map: Array.from({length: places.count}, (_, k) => likeliest(p, places.count, k, 4))}""",
        setting,
    )
    flat = torch.cat([value.flatten() for value in model.parameters()]).detach().numpy()
    np.testing.assert_allclose(found["theta"], flat, atol=1e-5)
    with torch.no_grad():
        logits = model(data.validation.x)
        assert found["nll"]["nll"] == pytest.approx(
            nn.functional.cross_entropy(logits, data.validation.y).item(), abs=1e-5
        )
        assert (np.array(found["map"]) == model(places).argmax(1).numpy()).mean() >= 0.9999


def test_schedules(core):
    kinds = {
        "constant": schedules.Constant,
        "cosine": schedules.Cosine,
        "one_cycle": schedules.OneCycle,
        "step": schedules.Step,
    }
    for name, options in (
        ("constant", {}),
        ("cosine", {"warmup_epochs": 2}),
        ("one_cycle", {}),
        ("step", {"every_epochs": 3}),
    ):
        found = core.script(
            """const [name, options] = arguments, [defaults, factor] = SCHEDULES[name]
            return Array.from({length: 200}, (_, k) => factor({...defaults, ...options}, k, 200, 10))""",
            name,
            options,
        )
        truth = [kinds[name](**options).at(step, 200, 10) for step in range(200)]
        np.testing.assert_allclose(found, truth, atol=1e-12)
