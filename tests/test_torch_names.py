"""What the lab uses of torch's that is not public is as it was in the versions it was written for."""

import io

import pytest
import torch

from mlplab import torch_names
from mlplab.nn.activations import ACTIVATIONS, activation_gradient, activation_module

ADVICE = f"torch {torch.__version__} differs from 2.11 to 2.14 in what mlplab/torch_names.py uses of it: "
START, SLOPE = torch.tensor([[1.0, -2.0, 3.0]]), torch.tensor([[0.5, 0.25, -1.0]])


def stepped(optimizer, **settings):
    parameter = torch.nn.Parameter(START.clone())
    parameter.grad = SLOPE.clone()
    optimizer([parameter], **settings).step()
    return parameter.detach()


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_the_fused_kernels_of_adam_take_a_step_as_the_optimiser_does(name):
    settings = {"lr": 0.1, "eps": 1e-8, "weight_decay": 0.1}
    theta, moments = START.clone(), [torch.zeros_like(START), torch.zeros_like(START)]
    try:
        getattr(torch_names, f"fused_{name}")(
            [theta],
            [SLOPE.clone()],
            [moments[0]],
            [moments[1]],
            [],
            [torch.tensor(1.0)],
            beta1=0.9,
            beta2=0.999,
            amsgrad=False,
            maximize=False,
            **settings,
        )
    except (TypeError, RuntimeError) as error:
        pytest.fail(f"{ADVICE}fused_{name}: {error}")
    expected = stepped({"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name], **settings)
    assert torch.allclose(theta, expected, rtol=1e-6), f"{ADVICE}fused_{name} takes another step"


def test_the_fused_kernel_of_sgd_takes_a_step_as_the_optimiser_does():
    theta = START.clone()
    try:
        torch_names.fused_sgd(
            [theta],
            [SLOPE.clone()],
            [torch.zeros_like(START)],
            weight_decay=0.1,
            momentum=0.9,
            lr=0.1,
            dampening=0.0,
            nesterov=True,
            maximize=False,
            is_first_step=True,
        )
    except (TypeError, RuntimeError) as error:
        pytest.fail(f"{ADVICE}fused_sgd: {error}")
    expected = stepped(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True)
    assert torch.allclose(theta, expected, rtol=1e-6), f"{ADVICE}fused_sgd takes another step"


def test_norms_of_many_tensors_at_once():
    parts = list(torch.arange(6.0).reshape(2, 3).unbind(0))
    try:
        norms = torch_names.foreach_norm(parts)
    except (TypeError, RuntimeError) as error:
        pytest.fail(f"{ADVICE}foreach_norm: {error}")
    assert torch.equal(torch.stack(norms), torch.stack([part.norm() for part in parts])), ADVICE


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_gradient_kernels_are_those_of_autograd(name):
    module, z = activation_module(name), torch.linspace(-2, 2, 9).requires_grad_()
    h = module(z)
    expected = torch.autograd.grad(h, z, torch.ones_like(h), retain_graph=True)[0]
    try:
        found = activation_gradient(name)(torch.ones_like(h), z.detach(), h.detach().clone(), module)
    except (TypeError, RuntimeError, AttributeError) as error:
        pytest.fail(f"{ADVICE}the gradient of {name}: {error}")
    assert torch.allclose(found, expected), f"{ADVICE}the gradient of {name} is another"


def test_a_saved_file_ends_with_an_empty_comment_of_a_zip_archive():
    buffer = io.BytesIO()
    torch.save({"x": START}, buffer)
    tail = buffer.getvalue()[-22:]
    assert tail[:4] == b"PK\x05\x06" and tail[-2:] == b"\0\0", f"{ADVICE}torch.save writes no plain zip archive"
