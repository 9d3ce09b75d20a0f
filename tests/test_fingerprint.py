import hashlib

import numpy as np
import pytest
import torch

from mlplab.runs.identity import code_digest, config_digest, tensor_sha256


def test_a_config_digest_is_the_sha256_of_canonical_json():
    config = {"b": [1, 2.5, None], "a": {"x": True, "y": "ü"}}
    canonical = '{"a":{"x":true,"y":"\\u00fc"},"b":[1,2.5,null]}'
    assert config_digest(config, ()) == hashlib.sha256(canonical.encode()).hexdigest()
    assert config_digest(dict(reversed(config.items())), ()) == config_digest(config, ())


def test_what_is_left_out_does_not_count_and_the_rest_does():
    config = {"seed": 0, "paths": {"logs": "a"}, "name": None, "trainer": {"profiler": None, "epochs": 3}}
    same = {"seed": 0, "paths": {"logs": "b"}, "name": "x", "trainer": {"profiler": "simple", "epochs": 3}}
    left_out = ("paths", "name", "resume", "trainer.profiler")
    assert config_digest(config, left_out) == config_digest(same, left_out)
    assert config_digest(config) != config_digest(same)
    assert config_digest(config) != config_digest(config | {"seed": 1})
    assert config_digest({"model": {"name": "a"}}) != config_digest({"model": {"name": "b"}})


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_one_bit_changes_the_digest_of_tensors():
    state = {"w": random(3, 4), "b": random(3), "step": 7}
    digest = tensor_sha256(state)
    assert digest == tensor_sha256(dict(reversed(state.items())))
    changed = state["w"].clone()
    changed[1, 2] = torch.nextafter(changed[1, 2], torch.tensor(9.0))
    others = [
        state | {"w": changed},
        state | {"w": state["w"].double()},
        state | {"w": state["w"].reshape(4, 3)},
        state | {"step": 8},
        state | {"step": 7.0},
        {"w": state["b"], "b": state["w"], "step": 7},
        state | {"extra": None},
        {"w": -torch.zeros(3)},
        {"w": torch.zeros(3)},
    ]
    assert len({digest, *map(tensor_sha256, others)}) == len(others) + 1


def test_strides_and_storage_do_not_count():
    population = random(5, 3, 4)
    member = {"w": population[2]}
    assert tensor_sha256(member) == tensor_sha256({"w": population[2].clone()})
    assert tensor_sha256({"w": population[2].T}) == tensor_sha256({"w": population[2].T.contiguous()})
    assert tensor_sha256(torch.nn.Parameter(population)) == tensor_sha256(population)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (0, 3), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bfloat16, torch.bool])
def test_every_shape_and_type_has_a_digest(shape, dtype):
    tensor = torch.ones(shape, dtype=dtype)
    assert tensor_sha256({"x": tensor}) == tensor_sha256({"x": tensor.clone()})
    assert len(tensor_sha256(tensor)) == 64


def test_arrays_and_tensors_of_the_same_bits_are_equal():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert tensor_sha256({"x": array}) == tensor_sha256({"x": torch.from_numpy(array)})
    assert tensor_sha256({"x": array.T}) == tensor_sha256({"x": torch.from_numpy(array).T})


def test_optimiser_states_have_a_digest():
    parameter = torch.nn.Parameter(random(4))
    optimizer = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimizer.step()
    before = tensor_sha256(optimizer.state_dict())
    optimizer.step()
    assert before != tensor_sha256(optimizer.state_dict())


def test_other_things_are_refused_by_name():
    with pytest.raises(TypeError, match="/str.model: ReLU"):
        tensor_sha256({"model": torch.nn.ReLU()})


def test_the_code_digest_sees_names_and_contents(tmp_path):
    def digest():
        return code_digest.__wrapped__(tmp_path)

    digests = [digest()]
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "a.py").write_text("x = 1\n")
    digests.append(digest())
    (tmp_path / "core" / "a.py").write_text("x = 2\n")
    digests.append(digest())
    (tmp_path / "core" / "a.py").rename(tmp_path / "core" / "b.py")
    digests.append(digest())
    assert len(set(digests)) == 4
    (tmp_path / "notes.txt").write_text("not code")
    assert digest() == digests[-1]
    assert len(code_digest()) == 64
