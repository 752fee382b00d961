"""One example of every layer kind: name -> module and a batch of five rows for it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.pytorch_utils import Conv1D


class Around(nn.Module):
    """A module in its place between others that have no parameters."""

    def __init__(self, module: nn.Module, call: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.module, self.call = module, call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.module, x)


class Affine(nn.Module):
    """A module that no kind knows."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(x * self.gain)


def self_attention(width: int) -> nn.Module:
    return Around(nn.MultiheadAttention(width, 2, batch_first=True), lambda m, x: m(x, x, x)[0])


def tokens() -> Tensor:
    return torch.randint(0, 7, (5, 3))


def numbers(*shape: int) -> Tensor:
    return torch.randn(5, *shape, dtype=torch.float64)


#: One line for each kind of the registry, and one for the generic route.
CASES: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "linear": lambda: (nn.Linear(4, 3), numbers(2, 4)),
    "embedding": lambda: (nn.Embedding(7, 4), tokens()),
    "layer_norm": lambda: (nn.LayerNorm(4), numbers(2, 4)),
    "rms_norm": lambda: (nn.RMSNorm(4), numbers(2, 4)),
    "rms_norm_float32": lambda: (LlamaRMSNorm(4), numbers(2, 4)),
    "conv": lambda: (nn.Conv2d(4, 6, 3, padding=1, groups=2), numbers(4, 5, 5)),
    "conv_transpose": lambda: (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), numbers(4, 3, 3)),
    "group_norm": lambda: (nn.GroupNorm(2, 4), numbers(4, 3, 3)),
    "instance_norm": lambda: (nn.InstanceNorm2d(4, affine=True), numbers(4, 3, 3)),
    "transposed_linear": lambda: (Conv1D(3, 4), numbers(2, 4)),
    "embedding_bag": lambda: (nn.EmbeddingBag(7, 4), tokens()),
    "attention": lambda: (self_attention(4), numbers(3, 4)),
    "recurrent": lambda: (
        Around(nn.GRU(4, 3, batch_first=True), lambda m, x: m(x)[0]),
        numbers(3, 4),
    ),
    "generic": lambda: (Affine(), numbers(2, 4)),
}
