"""The points at which a decision map asks the classifier."""

import torch
from torch import Tensor


def decision_grid(resolution: int = 128, limit: float | tuple[float, float, float, float] = 2.0) -> Tensor:
    """Make the pixel centres of a picture of the plane.

    A centre lies half a pixel inside the edge. The first row is the lowest (x2 ascending), as
    ``imshow(origin="lower")`` draws it; columns are x1 ascending.

    Args:
        resolution: pixels along each side, at least 1.
        limit: the picture covers [-limit, limit] in both directions, or the rectangle (x1 low, x1 high,
            x2 low, x2 high).

    Returns:
        Tensor of shape (resolution * resolution, 2), float32, row after row;
        ``values.reshape(resolution, resolution)`` is the picture.

    >>> decision_grid(2, 1.0).tolist()
    [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]
    """
    left, right, bottom, top = limit if isinstance(limit, tuple) else (-limit, limit, -limit, limit)
    # Counted from the middle, so that a square about the origin is symmetric to the bit.
    centred = 2 * torch.arange(resolution, dtype=torch.float64) + 1 - resolution
    x1 = (left + right) / 2 + centred * ((right - left) / 2 / resolution)
    x2 = (bottom + top) / 2 + centred * ((top - bottom) / 2 / resolution)
    x2, x1 = torch.meshgrid(x2, x1, indexing="ij")
    return torch.stack([x1.flatten(), x2.flatten()], dim=1).float()
