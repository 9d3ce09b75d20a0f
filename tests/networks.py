"""Small networks for the tests of populations, and a training of them by hand."""

from functools import partial

import torch
from torch import nn

from mlplab.nn.losses import CrossEntropy, gradient_at_logits
from mlplab.nn.mlp import MLP
from mlplab.population.optimizers import Adam

LOSS = CrossEntropy()


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def labels_of(*shape, classes, seed=0):
    return torch.randint(classes, shape, generator=torch.Generator().manual_seed(seed))


def mlps(count, hidden, *, inputs=2, classes=4, dtype=torch.float32, **options):
    return [MLP(inputs, hidden, classes, seed=seed, **options).to(dtype) for seed in range(count)]


def cross_entropy_gradient(labels, classes, dtype):
    q, a = LOSS.targets(labels, classes, dtype)
    return partial(gradient_at_logits, q=q, a=a)


def quiet(build):
    """Build modules whose constructors draw from torch's global generator, which is put back."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build()


def named_gradients(population, index):
    return population.split(population.gradient[index])


def written_out(module, x, masks):
    """The MLP with given dropout masks, one a hidden layer, by plain torch operations under autograd."""
    h, masks = x.reshape(len(x), -1), iter(masks)
    for layer in module.layers:
        h = h * next(masks) if isinstance(layer, nn.Dropout) else layer(h)
    return h


def train(population, x, y, steps, chunks=None):
    """Train all members for some steps; give logits, gradients, parameters and moments, each (P, ...)."""
    optimizer = Adam([population.theta], lr=0.05, weight_decay=0.01)
    shown = []
    for step in range(steps):
        for run in chunks or population.chunks(x.shape[2]):
            batch = population.minibatches(x[run])[step]
            labels = y[run, step]
            classes = cross_entropy_gradient(labels, y.max() + 1, population.theta.dtype)
            logits = population.backward(run, batch, classes, step)
            optimizer.update(run, population.gradient, step, 0.9)
            if step == steps - 1:
                shown.append(logits)
    return [torch.cat(shown), population.gradient, population.theta, *optimizer.moments.values()]
