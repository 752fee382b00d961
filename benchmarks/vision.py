"""Models of images and vectors that cost is measured on: a residual network and a perceptron."""

from __future__ import annotations

import torch
from torch import Tensor, nn, optim

CLASSES = 10


class _Block(nn.Module):
    """Two convolutions with a shortcut, normalised by groups."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False)
        self.second = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.GroupNorm(8, outside) for _ in range(2)])
        same = stride == 1 and inside == outside
        self.shortcut = None if same else nn.Conv2d(inside, outside, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Add the shortcut before the last activation."""
        y = torch.relu(self.norms[0](self.first(x)))
        y = self.norms[1](self.second(y))
        return torch.relu(y + (x if self.shortcut is None else self.shortcut(x)))


def build_resnet(width: int = 32) -> nn.Module:
    """Build ResNet-18 for images of 32 by 32, with GroupNorm, seeded."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [
        nn.Conv2d(3, width, 3, padding=1, bias=False),
        nn.GroupNorm(8, width),
        nn.ReLU(),
    ]
    inside = width
    for stage in range(4):
        for place in range(2):
            outside = width << stage
            layers.append(_Block(inside, outside, 2 if stage and not place else 1))
            inside = outside
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, CLASSES))


def build_perceptron(width: int = 1024, layers: int = 4) -> nn.Module:
    """Build a perceptron of equally wide layers, seeded."""
    torch.manual_seed(0)
    parts: list[nn.Module] = []
    for _ in range(layers):
        parts += [nn.Linear(width, width), nn.GELU()]
    return nn.Sequential(*parts, nn.Linear(width, CLASSES))


def random_batch(num_rows: int, *shape: int) -> dict[str, Tensor]:
    """Draw inputs and classes."""
    generator = torch.Generator().manual_seed(1)
    return {
        "x": torch.randn(num_rows, *shape, generator=generator),
        "y": torch.randint(0, CLASSES, (num_rows,), generator=generator),
    }


def train_step(model: nn.Module, optimizer: optim.Optimizer, batch: dict[str, Tensor]) -> None:
    """Take one ordinary step."""
    loss = nn.functional.cross_entropy(model(batch["x"]), batch["y"])
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    optimizer.zero_grad()
