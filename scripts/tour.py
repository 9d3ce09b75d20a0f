"""The lab in one file: python scripts/tour.py draws tour.png in under 20 seconds; torch, numpy and matplotlib only.

Read it from top to bottom. Every number is the lab's own: tests/test_tour.py compares them.
"""

# %% [markdown]
# # A tour of multi-layer perceptrons
# From four noisy spirals to a trained network, from one network to sixteen, and from the ReLU to the spiking neuron
# behind it. The first setting is that of the Neuromatch tutorial "Biological vs. Artificial Neural Networks": four
# spiral arms in the plane, one hidden layer of 128 ReLUs.

# %%
import hashlib
import math

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

torch.set_num_threads(1)  # so small products are fastest on one
SEED, DATA_SEED = 0, 2021
ARMS, NOISE = 4, 0.16
EPOCHS, BATCH, RATE = 40, 128, 2e-2
COLOURS = np.array([[63, 144, 218], [255, 169, 14], [189, 31, 1], [131, 45, 182]]) / 255  # of the four arms

def stream(seed: int, *labels) -> torch.Generator:
    """Make a random generator for one purpose: its seed is a hash of the seed and the purpose's name."""
    text = "/".join(str(part) for part in (seed, *labels))
    return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1)


# %% [markdown]
# ## 1. The data: four spiral arms
# A point of arm k at time t lies at t (sin a, cos a) with a = 2π/4 (2t + k), plus noise that grows with t. 4,000 points
# are split into 3,200 to train on and 800 to test; 20,000 fresh points measure what 800 cannot.

# %%
def spirals(count: int, generator: torch.Generator, with_ends: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw `count` points of each arm; t runs over [0, 1], with its ends or through the middles of equal pieces."""
    t = torch.linspace(0, 1, count) if with_ends else (torch.arange(count) + 0.5) / count
    points = []
    for k in range(ARMS):
        angle = 2 * math.pi / ARMS * (2 * t + k)
        first = t * (torch.sin(angle) + NOISE * torch.randn(count, generator=generator))
        second = t * (torch.cos(angle) + NOISE * torch.randn(count, generator=generator))
        points.append(torch.stack([first, second], dim=1))
    return torch.cat(points), torch.arange(ARMS).repeat_interleave(count)


x, y = spirals(1000, stream(DATA_SEED, "points"), with_ends=True)
order = torch.randperm(len(y), generator=stream(DATA_SEED, "split"))
x_test, y_test = x[order[:800]], y[order[:800]]
x_train, y_train = x[order[800:]], y[order[800:]]
x_fresh, y_fresh = spirals(5000, stream(DATA_SEED, "fresh"), with_ends=False)
print(f"points: {len(y_train)} to train, {len(y_test)} to test, {len(y_fresh)} fresh")

# %% [markdown]
# ## 2. The limit: the Bayes classifier
# Noise makes the arms overlap, so no classifier is right everywhere. The density of an arm is known,
# p(x | k) = ∫ Normal(x; t s_k(t), t² noise²) dt, and Bayes' rule turns the four densities into the best possible answer.
# The integral is a weighted sum over nodes: Gauss-Legendre rules on pieces of u = log t, where all scales look alike.

# %%
def log_posterior(x: torch.Tensor, chunk: int = 1000) -> torch.Tensor:
    """Compute log p(k | x) of points (N, 2): an array (N, 4), float64."""
    edges = np.linspace(math.log(1e-6), 0, 161)
    nodes, weights = np.polynomial.legendre.leggauss(6)
    u = ((edges[1:] + edges[:-1])[:, None] / 2 + np.diff(edges)[:, None] / 2 * nodes).ravel()
    t = torch.from_numpy(np.exp(u))
    weight = torch.from_numpy(np.tile(weights, 160) * np.exp(u))  # dt = t du
    joint = []
    for k in range(ARMS):
        angle = 2 * math.pi / ARMS * (2 * t + k)
        centre, variance = t * torch.stack([torch.sin(angle), torch.cos(angle)]), (NOISE * t) ** 2
        # -|x - centre|² / (2 variance), as one matrix product over (|x|², x1, x2, 1).
        factors = torch.cat([-0.5 / variance[None], centre / variance, -0.5 * (centre**2).sum(0)[None] / variance])
        factors[3] += torch.log(weight / variance)
        inputs = torch.cat([(x.double() ** 2).sum(1, keepdim=True), x.double(), torch.ones(len(x), 1)], dim=1)
        joint.append(torch.cat([torch.logsumexp(part @ factors, dim=1) for part in inputs.split(chunk)]))
    return torch.log_softmax(torch.stack(joint, dim=1), dim=1)


bayes_fresh = log_posterior(x_fresh)

def measure(log_probabilities: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """Compute the accuracy and the mean negative log likelihood (NLL) in nats."""
    right = log_probabilities.argmax(1) == labels
    return right.double().mean().item(), -log_probabilities.gather(1, labels[:, None]).mean().item()


bayes_accuracy, bayes_nll = measure(bayes_fresh, y_fresh)
print(f"Bayes limit on fresh points: accuracy {100 * bayes_accuracy:.2f} %, NLL {bayes_nll:.4f}")

# %% [markdown]
# ## 3. A network
# A multi-layer perceptron with one hidden layer: 2 inputs, 128 ReLUs, 4 outputs, one for each arm. The initial weights
# are uniform within 1/sqrt(inputs), as torch's own. All arithmetic is in float64, so that another order of the same sums
# (the lab's) ends at the same weights.

# %%
def perceptron(width: int) -> nn.Sequential:
    """Make a network 2-width-4 with initial weights drawn from the seed."""
    generator = stream(SEED, "weights")
    network = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, ARMS))
    for layer in (network[0], network[2]):
        nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
        bound = 1 / math.sqrt(layer.in_features)
        nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return network.double()


# %% [markdown]
# ## 4. Cross entropy, and training
# The loss of a point is log Σ exp(outputs) - output of its class: the negative log likelihood of the label. Each epoch
# goes through the training points in a new order, in minibatches of 128; Adam takes a step after each, and its learning
# rate falls along half a cosine.

# %%
def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Compute the mean loss of logits (..., N, C) over points."""
    chosen = logits.gather(-1, labels[:, None].expand(*logits.shape[:-1], 1)).squeeze(-1)
    return (torch.logsumexp(logits, dim=-1) - chosen).mean(-1)

def minibatches(epoch: int) -> list[torch.Tensor]:
    """Share the training points of an epoch among minibatches; a last, shorter one would be left out."""
    order = torch.randperm(len(y_train), generator=stream(SEED, "order", epoch))
    return [part for part in order.split(BATCH) if len(part) == BATCH]


STEPS = EPOCHS * len(minibatches(0))

def cosine(step: int) -> float:
    """Give the factor of the learning rate at a step, counted from 0."""
    return (1 + math.cos(math.pi * step / STEPS)) / 2


inputs = x_train.double()
network = perceptron(128)
optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
losses = []
for epoch in range(EPOCHS):
    for i, chosen in enumerate(minibatches(epoch)):
        optimizer.param_groups[0]["lr"] = RATE * cosine(epoch * len(minibatches(0)) + i)
        optimizer.zero_grad()
        loss = cross_entropy(network(inputs[chosen]), y_train[chosen])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

# %% [markdown]
# ## 5. Regret: how far from the limit
# On the same points, with the posterior p in place of drawn labels: how much probability the predicted class gives away,
# max p - p(predicted), and how far the network's probabilities q are from p, KL(p || q) = Σ p (log p - log q).

# %%
def regrets(log_q: torch.Tensor, log_p: torch.Tensor) -> tuple[float, float]:
    """Compute the regrets of accuracy and of NLL, means over points."""
    p = log_p.exp()
    lost = p.amax(1) - p.gather(1, log_q.argmax(1, keepdim=True)).squeeze(1)
    return lost.mean().item(), (p * (log_p - log_q)).sum(1).mean().item()

def answers(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Give the network's log probabilities of points (N, 2): an array (N, 4)."""
    with torch.no_grad():
        return torch.log_softmax(network(x.double()), dim=1)


test_accuracy, test_nll = measure(answers(network, x_test), y_test)
fresh_accuracy, fresh_nll = measure(answers(network, x_fresh), y_fresh)
accuracy_regret, nll_regret = regrets(answers(network, x_fresh), bayes_fresh)
print(f"network on fresh points: accuracy {100 * fresh_accuracy:.2f} %, NLL {fresh_nll:.4f}")
print(f"regret: {100 * accuracy_regret:.2f} percentage points of accuracy, {nll_regret:.4f} of NLL")

# %% [markdown]
# ## 6. Sixteen networks at once
# Four widths by four learning rates. Narrow networks are padded with units whose weights are zero (they get no gradient
# and stay so); then one batched product does a layer of all sixteen. One network alone is too small to keep a processor
# busy: sixteen take about twice the time of one.

# %%
WIDTHS, RATES = [16, 32, 64, 128], [2e-3, 6e-3, 2e-2, 6e-2]
GRID = [(width, rate) for width in WIDTHS for rate in RATES]
singles = [perceptron(width) for width, _ in GRID]
shapes = [(2, 128), (1, 128), (128, ARMS), (1, ARMS)]  # first weights, first biases, last weights, last biases
stacked = [torch.zeros(len(GRID), *shape, dtype=torch.float64) for shape in shapes]
for member, single in enumerate(singles):
    for whole, part in zip(stacked, [parameter.reshape(len(parameter), -1).T for parameter in single.parameters()]):
        whole[member, : part.shape[0], : part.shape[1]] = part.detach()
rates = torch.tensor([rate for _, rate in GRID], dtype=torch.float64)[:, None, None]

def forward(parameters: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Compute the logits of all networks, (16, N, 4), for points (N, 2)."""
    first, first_bias, last, last_bias = parameters
    return torch.relu(x @ first + first_bias) @ last + last_bias


_ = [parameter.requires_grad_() for parameter in stacked]
means, squares = ([torch.zeros_like(parameter) for parameter in stacked] for _ in range(2))
step = 0
for epoch in range(EPOCHS):
    for chosen in minibatches(epoch):
        loss = cross_entropy(forward(stacked, inputs[chosen]), y_train[chosen]).sum()
        gradients = torch.autograd.grad(loss, stacked)
        step += 1
        with torch.no_grad():  # Adam (Kingma and Ba 2015), each network with its own rate
            for parameter, gradient, mean, square in zip(stacked, gradients, means, squares):
                mean.lerp_(gradient, 0.1)
                square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
                size = (square / (1 - 0.999**step)).sqrt_().add_(1e-8)
                parameter -= rates * cosine(step - 1) * (mean / (1 - 0.9**step)) / size

with torch.no_grad():
    all_answers = torch.log_softmax(forward(stacked, x_fresh.double()), dim=2)
grid_regret = np.array([regrets(log_q, bayes_fresh)[1] for log_q in all_answers]).reshape(4, 4)
gap = (stacked[0][GRID.index((128, RATE))] - network[0].weight.T).abs().max().item()
print(f"16 networks: NLL regret {grid_regret.min():.4f} to {grid_regret.max():.4f}")
print(f"the member of section 4's setting has its weights, to {gap:.0e}")

# %% [markdown]
# ## 7. Nine ReLUs
# What does a hidden layer do? On a line, a sum of ReLUs is a broken line: each unit bends it at its knot, and its weight
# is the change of slope there. Nine of them follow a sine: knots in equal distances, values exact at the knots.

# %%
knots, line = np.linspace(0, 2 * np.pi, 10), np.linspace(0, 2 * np.pi, 2001)
weights = np.diff(np.diff(np.sin(knots)) / np.diff(knots), prepend=0.0)
units = weights * np.maximum(line[:, None] - knots[:-1], 0)
relu_error = np.abs(units.sum(1) - np.sin(line)).max()
print(f"nine ReLUs follow a sine to {relu_error:.4f} (the best possible, by `relu_approximation`: 0.0160)")

# %% [markdown]
# ## 8. The neuron behind the ReLU
# A leaky integrate-and-fire neuron charges like a capacitor, C dV/dt = -V/R + I, and fires when V reaches the threshold.
# The time that takes is R C log(R I / (R I - V_th)); with the refractory time in which it rests, its rate follows exactly.
# Without a leak (R to infinity) and without rest the rate is I / (C V_th), and 0 for I < 0: a ReLU.

# %%
CAPACITANCE, THRESHOLD, current = 10.0, 1.0, np.linspace(-0.5, 2.0, 501)  # µF, V, mA; with R in kΩ times are in ms

def rate_hz(current: np.ndarray, resistance: float, refractory: float) -> np.ndarray:
    """Compute the exact firing rate under constant currents."""
    with np.errstate(divide="ignore"):  # below the threshold the interval is infinite, and the rate 0
        interval = resistance * CAPACITANCE * np.log1p(THRESHOLD / np.maximum(resistance * current - THRESHOLD, 0))
    return 1000 / (refractory + interval)


relu_rate = 1000 * np.maximum(current, 0) / (CAPACITANCE * THRESHOLD)
neurons = {"R = 1 kΩ, rest 1 ms": (1.0, 1.0), "R = 1 kΩ": (1.0, 0.0), "R = 3 kΩ": (3.0, 0.0), "R = 100 kΩ": (100.0, 0.0)}
distances = {name: np.abs(rate_hz(current, *neuron) - relu_rate).max() for name, neuron in neurons.items()}
print("distance to the ReLU: " + ", ".join(f"{name}: {value:.3g} Hz" for name, value in distances.items()))

# %% [markdown]
# ## 9. One page of figures
# Colours mix in proportion to the probabilities of the four arms; the brown between them is where a classifier is unsure.

# %%
def plane(resolution: int, limit: float = 1.4) -> torch.Tensor:
    """Make the pixel centres of a square picture of the plane, (resolution², 2), row after row."""
    centres = ((torch.arange(resolution) + 0.5) / resolution * 2 - 1) * limit
    return torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=2).reshape(-1, 2)

def coloured(log_probabilities: torch.Tensor, resolution: int) -> np.ndarray:
    """Turn probabilities on the plane into a picture."""
    return (0.25 + 0.75 * log_probabilities.exp().numpy() @ COLOURS).reshape(resolution, resolution, 3)


page = Figure(figsize=(18, 9), dpi=100, layout="constrained")
(points, bayes, training, decision), (mosaic, heat, sine, neuron) = page.subplots(2, 4, gridspec_kw={"wspace": 0.1, "hspace": 0.1})
where, picture = {"origin": "lower", "extent": (-1.4, 1.4, -1.4, 1.4)}, plane(160)
points.scatter(*x_train.T, c=COLOURS[y_train], s=3)
points.set(title=f"1. {len(y_train)} training points", aspect="equal", xlim=(-1.4, 1.4), ylim=(-1.4, 1.4))
bayes.imshow(coloured(log_posterior(picture), 160), **where)
bayes.set(title=f"2. Bayes classifier: {100 * bayes_accuracy:.2f} %, NLL {bayes_nll:.4f}")
training.semilogy(range(1, EPOCHS + 1), np.reshape(losses, (EPOCHS, -1)).mean(1), color="#1b1d24", label="training loss, mean of the epoch")
training.axhline(bayes_nll, color="#bd1f01", linestyle="--", label="Bayes NLL, fresh points")
training.set(title="4. Training", xlabel="epoch", ylabel="cross entropy (nats)")
decision.imshow(coloured(answers(network, picture), 160), **where)
wrong = answers(network, x_test).argmax(1) != y_test
decision.scatter(*x_test[wrong].T, c=COLOURS[y_test[wrong]], s=24, edgecolors="black")
decision.set(title=f"5. Network: {100 * fresh_accuracy:.2f} %, NLL {fresh_nll:.4f}\ndots: wrong")
with torch.no_grad():
    maps = torch.log_softmax(forward(stacked, plane(60).double()), dim=2)
mosaic.imshow(np.block([[[coloured(maps[4 * i + j], 60)] for j in range(4)] for i in range(3, -1, -1)]), origin="lower")
heat.imshow(np.log(grid_regret), cmap="viridis_r")
for i, j in np.ndindex(4, 4):
    heat.text(j, i, f"{grid_regret[i, j]:.3f}", ha="center", va="center", color="white" if grid_regret[i, j] > 0.1 else "black")
for panel, ticks, title in ((mosaic, 60, "6. Sixteen networks at once"), (heat, 1, "6. Their NLL regret")):
    panel.set(title=title, xlabel="learning rate", ylabel="width", xticks=(np.arange(4) + (ticks - 1) / 2 / ticks) * ticks)
    panel.set(xticklabels=RATES, yticks=panel.get_xticks(), yticklabels=WIDTHS[:: -1 if ticks == 60 else 1])
sine.plot(line, units.cumsum(1), color="#c9ccd3", linewidth=1)
sine.plot(line, np.sin(line), color="#bd1f01", label="sine")
sine.plot(line, units.sum(1), color="#1b1d24", linestyle="--", label="sum of nine ReLUs")
sine.set(title=f"7. Nine ReLUs, largest error {relu_error:.3f}", xlabel="x", ylim=(-1.3, 2.5))
for name, values in neurons.items():
    neuron.plot(current, rate_hz(current, *values), label=name)
neuron.plot(current, relu_rate, color="black", linestyle="--", label="ReLU")
neuron.set(title="8. A spiking neuron becomes a ReLU", xlabel="current (mA)", ylabel="firing rate (Hz)")
_ = [panel.legend() for panel in (training, sine, neuron)]
page.savefig("tour.png")
