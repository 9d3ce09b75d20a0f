"""The default training as others would write it: a bare torch loop, and JAX with the whole training jitted."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

EPOCHS, BATCH = 100, 128


def bare_loop(hidden: list[int], x: torch.Tensor, y: torch.Tensor) -> None:
    """Train one network by hand: nothing but forward, backward and step."""
    widths = [2, *hidden, 4]
    layers: list[nn.Module] = []
    for before, after in zip(widths, widths[1:]):
        layers += [nn.Linear(before, after), nn.ReLU()]
    net = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    for _ in range(EPOCHS):
        order = torch.randperm(len(x))
        for first in range(0, len(x) - BATCH + 1, BATCH):
            chosen = order[first : first + BATCH]
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[chosen]), y[chosen]).backward()
            optimizer.step()


def jax_trainer(hidden: list[int], x: np.ndarray, y: np.ndarray, seeds: int) -> tuple[Callable[[Any], Any], Any]:
    """Make a function that trains a network for each key, and the keys: one jitted scan, vmapped, awaited.

    The first call compiles.
    """
    import jax
    import jax.numpy as jnp

    x, y, widths = jnp.asarray(x), jnp.asarray(y), [2, *hidden, 4]
    steps = len(x) // BATCH

    def loss(params, chosen):
        h = x[chosen]
        for i, (weight, bias) in enumerate(params):
            h = h @ weight + bias
            h = jax.nn.relu(h) if i < len(params) - 1 else h
        return -jnp.take_along_axis(jax.nn.log_softmax(h), y[chosen][:, None], 1).mean()

    def step(carry, chosen):
        params, m, v, t = carry
        grads, t = jax.grad(loss)(params, chosen), t + 1
        m = jax.tree.map(lambda a, g: 0.9 * a + 0.1 * g, m, grads)
        v = jax.tree.map(lambda a, g: 0.999 * a + 0.001 * g * g, v, grads)
        scale = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        params = jax.tree.map(lambda p, a, b: p - scale * a / (jnp.sqrt(b) + 1e-8), params, m, v)
        return (params, m, v, t), None

    def train(key):
        keys = jax.random.split(key, EPOCHS + len(widths))
        params = [
            (jax.random.uniform(keys[i], (a, b), minval=-1, maxval=1) / a**0.5, jnp.zeros(b))
            for i, (a, b) in enumerate(zip(widths, widths[1:]))
        ]
        zeros = jax.tree.map(jnp.zeros_like, params)
        orders = jax.vmap(lambda k: jax.random.permutation(k, len(x))[: steps * BATCH])(keys[len(widths) :])
        return jax.lax.scan(step, (params, zeros, zeros, 0.0), orders.reshape(-1, BATCH))[0][0]

    trained = jax.jit(jax.vmap(train))
    return lambda keys: jax.block_until_ready(trained(keys)), jax.random.split(jax.random.key(0), seeds)
