import math

import pytest
import torch

from mlplab.data.arrays import Points
from mlplab.data.baselines import MOST_FEATURES, MOST_TEST, MOST_TRAIN, NEIGHBOURS, baselines


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


def test_the_majority_stands_alone_where_the_others_make_no_sense():
    pytest.importorskip("sklearn")
    y = torch.tensor([0, 1, 0, 1])

    def names(features, labels, classes):
        points = Points(torch.arange(4.0)[:, None].expand(4, features), labels)
        return list(baselines(points, points, classes))

    every = ["majority", "logistic_regression", "nearest_neighbours"]
    assert names(MOST_FEATURES, y, 2) == every and names(MOST_FEATURES + 1, y, 2) == every[:1]
    assert names(2, y, 3) == every[:1] and names(2, torch.zeros(4, dtype=torch.long), 1) == every[:1]
    assert (
        baselines(Points(y[:, None].float(), y), Points(y[:, None].float(), y), 2)["nearest_neighbours"]["points"] == 4
    )


def test_the_first_points_stand_for_all_of_a_large_set():
    pytest.importorskip("sklearn")
    x, y = torch.zeros(MOST_TRAIN + 5, 1), torch.zeros(MOST_TRAIN + 5, dtype=torch.long)
    x[:10, 0], y[:10] = 1, 1
    x[MOST_TRAIN:, 0], y[MOST_TRAIN:] = -1, 1
    test = Points(torch.ones(MOST_TEST + 5, 1), torch.cat([torch.ones(MOST_TEST), torch.zeros(5)]).long())
    found = baselines(Points(x, y), test, 2)
    assert found["majority"]["nll"] == pytest.approx(-math.log(11 / (MOST_TRAIN + 2)))  # Laplace's rule
    assert found["majority"]["points"] == MOST_TEST and found["majority"]["accuracy"] == 0
    assert found["nearest_neighbours"]["accuracy"] == 1


@pytest.mark.parametrize(("like", "accuracy"), [(3, 1.0), (2, 0.0)])
def test_five_neighbours_decide(like, accuracy):
    pytest.importorskip("sklearn")
    assert NEIGHBOURS == 5
    near = torch.tensor([1] * like + [0] * (5 - like))
    train = Points(
        torch.cat([torch.linspace(0.1, 0.5, 5), torch.full((9,), 50.0)])[:, None],
        torch.cat([near, torch.zeros(9).long()]),
    )
    found = baselines(train, Points(torch.zeros(1, 1), torch.ones(1).long()), 2)
    assert found["nearest_neighbours"] == {"accuracy": accuracy, "nll": None, "points": 1}


def test_a_failure_of_scikit_learns_is_one_line_and_no_end(monkeypatch, capsys):
    linear_model = pytest.importorskip("sklearn.linear_model")

    def failing(self, *_):
        raise RuntimeError("singular\nmatrix\x1b[31m")

    monkeypatch.setattr(linear_model.LogisticRegression, "fit", failing)
    assert list(baselines(clouds(60, 8, 0), clouds(30, 8, 1), 3)) == ["majority"]
    said = capsys.readouterr().err
    assert said == "note: scikit-learn cannot compare here: RuntimeError: singular matrix\\x1b[31m\n"
