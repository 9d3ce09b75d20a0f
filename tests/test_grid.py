import numpy as np
import pytest
import torch

from mlplab.training.plane import decision_grid


def test_one_pixel_is_the_origin():
    assert decision_grid(1, 2.0).tolist() == [[0.0, 0.0]]


def test_rows_are_x2_ascending_and_columns_x1_ascending():
    picture = decision_grid(4).view(4, 4, 2)  # from -2 to 2 by default
    centres = torch.tensor([-1.5, -0.5, 0.5, 1.5])
    assert torch.equal(picture[:, :, 0], centres.expand(4, 4))
    assert torch.equal(picture[:, :, 1], centres[:, None].expand(4, 4))


@pytest.mark.parametrize("resolution, limit", [(2, 1.0), (3, 0.7), (128, 2.0), (129, 1.5)])
def test_centres_are_those_of_a_histogram_and_mirror_exactly(resolution, limit):
    grid = decision_grid(resolution, limit)
    assert grid.shape == (resolution**2, 2) and grid.dtype == torch.float32
    edges = np.linspace(-limit, limit, resolution + 1)
    np.testing.assert_allclose(grid[:resolution, 0], (edges[1:] + edges[:-1]) / 2, atol=1e-6)
    assert torch.equal(grid, -grid.flip(0))


def test_a_rectangle_is_covered_from_its_lower_left_corner():
    picture = decision_grid(2, (0.0, 4.0, -1.0, 3.0)).view(2, 2, 2)
    assert picture.tolist() == [[[1.0, 0.0], [3.0, 0.0]], [[1.0, 2.0], [3.0, 2.0]]]
