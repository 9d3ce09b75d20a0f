import math

import pytest
import torch

from mlplab.data.arrays import Points
from mlplab.data.baselines import MOST_TRAIN, baselines


def clouds(count, shift, seed):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 3
    return Points(torch.randn(count, 2, generator=generator) + shift * torch.eye(3, 2)[y], y)


def test_the_majority_class_knows_the_shares_alone():
    train, test = (
        Points(torch.zeros(6, 1), torch.tensor([0, 0, 0, 1, 1, 2])),
        Points(torch.zeros(4, 1), torch.tensor([0, 1, 0, 2])),
    )
    found = baselines(train, test, 3)["majority"]
    assert found["accuracy"] == 0.5 and found["points"] == 4
    assert found["nll"] == pytest.approx(-(2 * math.log(4 / 9) + math.log(3 / 9) + math.log(2 / 9)) / 4)


def test_linear_and_neighbours_solve_clouds_and_see_nothing_in_noise():
    pytest.importorskip("sklearn")
    found = baselines(clouds(600, 8, 0), clouds(300, 8, 1), 3)
    assert found["logistic_regression"]["accuracy"] > 0.97 and found["logistic_regression"]["nll"] < 0.1
    assert found["nearest_neighbours"]["accuracy"] > 0.97 and found["nearest_neighbours"]["nll"] is None
    noise = baselines(clouds(600, 0, 0), clouds(300, 0, 1), 3)
    assert abs(noise["logistic_regression"]["accuracy"] - 1 / 3) < 0.1


def test_images_are_flattened_and_large_sets_cut():
    pytest.importorskip("sklearn")
    train = clouds(MOST_TRAIN + 100, 8, 0)
    found = baselines(
        Points(train.x.reshape(-1, 2, 1), train.y), Points(train.x[:10].reshape(-1, 1, 2), train.y[:10]), 3
    )
    assert found["nearest_neighbours"]["points"] == 10
