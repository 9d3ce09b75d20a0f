"""The points at which a decision map asks the classifier."""

import torch
from torch import Tensor


def decision_grid(resolution: int = 128, limit: float = 2.0) -> Tensor:
    """Make the pixel centres of a square picture of the plane.

    The picture covers [-limit, limit] in both directions, so a centre lies half a pixel inside the edge. The
    first row is the lowest (x2 ascending), as ``imshow(origin="lower")`` draws it; columns are x1 ascending.

    Args:
        resolution: pixels along each side, at least 1.
        limit: half the side of the square, more than 0.

    Returns:
        Tensor of shape (resolution * resolution, 2), float32, row after row;
        ``values.reshape(resolution, resolution)`` is the picture.

    >>> decision_grid(2, 1.0).tolist()
    [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]
    """
    centres = (2 * torch.arange(resolution, dtype=torch.float64) + 1 - resolution) * (limit / resolution)
    x2, x1 = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([x1.flatten(), x2.flatten()], dim=1).float()
