"""Random layers of every kind in the registry, each with a batch of rows to read."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

#: A model with one layer, and its input, rows first.
Case = tuple[nn.Module, Tensor]


class Around(nn.Module):
    """A layer whose arguments and outputs are more than one tensor."""

    def __init__(self, layer: nn.Module, call: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.call = layer, call

    def forward(self, x: Tensor) -> Tensor:
        """Call the layer on what is derived from the rows alone."""
        return self.call(self.layer, x)


class Direct(nn.Module):
    """Uses its own parameters directly and in a non-linear way."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.randn(width))
        self.offset = nn.Parameter(torch.randn(1, width))

    def forward(self, x: Tensor) -> Tensor:
        """Bend and shift."""
        return torch.sin(x * self.gain) * self.offset.exp() + self.offset


def _yes(random: Random, share: float = 0.5) -> bool:
    return random.random() < share


def _numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def _rows(random: Random) -> int:
    return random.randint(1, 5)


def _axes(random: Random) -> list[int]:
    """Rows, then no, one or two axes of positions."""
    return [_rows(random), *(random.randint(1, 6) for _ in range(random.randint(0, 2)))]


def _linear(random: Random) -> Case:
    width, out = random.randint(1, 9), random.randint(1, 9)
    return nn.Linear(width, out, bias=_yes(random)), _numbers(*_axes(random), width)


def _transposed_linear(random: Random) -> Case:
    from transformers.pytorch_utils import Conv1D

    width, out = random.randint(1, 9), random.randint(1, 9)
    layer: nn.Module = Conv1D(out, width)  # type: ignore[no-untyped-call]
    return layer, _numbers(*_axes(random), width)


def _embedding(random: Random) -> Case:
    size, width = random.randint(2, 11), random.randint(1, 9)
    layer = nn.Embedding(size, width, padding_idx=random.randrange(size) if _yes(random) else None)
    return layer, torch.randint(0, size, (_rows(random), random.randint(1, 8)))


def _embedding_bag(random: Random) -> Case:
    size, width, mode = random.randint(2, 11), random.randint(1, 9), random.choice(["sum", "mean"])
    padding = random.randrange(size) if _yes(random) else None
    layer = nn.EmbeddingBag(size, width, mode=mode, padding_idx=padding)
    scale = torch.rand(size, dtype=torch.float64)

    def call(bag: nn.EmbeddingBag, tokens: Tensor) -> Tensor:
        weights = scale[tokens] if mode == "sum" else None
        out: Tensor = bag(tokens, per_sample_weights=weights)
        return out

    return Around(layer, call), torch.randint(0, size, (_rows(random), random.randint(1, 8)))


def _normalised(random: Random) -> list[int]:
    """One or two normalised axes; a single element would normalise to zero."""
    return [*([random.randint(1, 3)] if _yes(random) else []), random.randint(2, 9)]


def _layer_norm(random: Random) -> Case:
    shape = _normalised(random)
    return nn.LayerNorm(shape, bias=_yes(random)), _numbers(*_axes(random), *shape)


def _rms_norm(random: Random) -> Case:
    shape = _normalised(random)
    layer = nn.RMSNorm(shape, eps=random.choice([None, 1e-6, 1e-2]))
    return layer, _numbers(*_axes(random), *shape)


def _rms_norm_float32(random: Random) -> Case:
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    width = random.randint(2, 9)
    return LlamaRMSNorm(width), _numbers(*_axes(random), width)


def _group_norm(random: Random) -> Case:
    groups, per = random.randint(1, 3), random.randint(1, 3)
    extents = [random.randint(2, 5) for _ in range(random.randint(1, 3))]
    layer = nn.GroupNorm(groups, groups * per)
    return layer, _numbers(_rows(random), groups * per, *extents)


def _instance_norm(random: Random) -> Case:
    axes, width = random.randint(1, 3), random.randint(1, 6)
    kind = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)[axes - 1]
    layer = kind(width, affine=True, track_running_stats=_yes(random))
    return layer, _numbers(_rows(random), width, *(random.randint(3, 5) for _ in range(axes)))


def _conv(random: Random) -> Case:
    axes, groups = random.randint(1, 3), random.randint(1, 3)
    kernel = tuple(random.randint(1, 3) for _ in range(axes))
    dilation = tuple(random.randint(1, 2) for _ in range(axes))
    same = _yes(random, 0.25)
    kinds: tuple[Any, ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    layer = kinds[axes - 1](
        groups * random.randint(1, 3),
        groups * random.randint(1, 3),
        kernel,
        stride=1 if same else random.randint(1, 3),
        padding="same" if same else random.randint(0, 1),
        dilation=dilation,
        groups=groups,
        bias=_yes(random),
        padding_mode=random.choice(["zeros", "reflect", "replicate", "circular"]),
    )
    extents = (
        random.randint(1, 3) + d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)
    )
    return layer, _numbers(_rows(random), layer.in_channels, *extents)


def _conv_transpose(random: Random) -> Case:
    axes, groups, stride = random.randint(1, 3), random.randint(1, 2), random.randint(1, 3)
    layer = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[axes - 1](
        groups * random.randint(1, 3),
        groups * random.randint(1, 3),
        random.randint(2, 3),
        stride=stride,
        padding=random.randint(0, 1),
        output_padding=random.randint(0, stride - 1),
        groups=groups,
        bias=_yes(random),
        dilation=random.randint(1, 2),
    )
    return layer, _numbers(
        _rows(random), layer.in_channels, *(random.randint(2, 4) for _ in range(axes))
    )


def _attention(random: Random) -> Case:
    heads = random.randint(1, 3)
    width, length = heads * random.randint(1, 3), random.randint(1, 5)
    layer = nn.MultiheadAttention(
        width, heads, batch_first=True, bias=_yes(random), add_bias_kv=_yes(random, 0.3)
    )
    crossed, causal = _yes(random), _yes(random)

    def call(attention: nn.MultiheadAttention, x: Tensor) -> Tensor:
        keys = x.sin() if crossed else x
        mask = torch.ones(length, length, dtype=torch.bool).triu(1) if causal else None
        out: Tensor = attention(x, keys, keys, attn_mask=mask, need_weights=False)[0]
        return out

    return Around(layer, call), _numbers(_rows(random), length, width)


def _recurrent(random: Random) -> Case:
    width, hidden, length = (random.randint(1, 5) for _ in range(3))
    kind = random.choice((nn.RNN, nn.LSTM, nn.GRU))
    layer = kind(
        width,
        hidden,
        random.randint(1, 2),
        bias=_yes(random),
        bidirectional=_yes(random),
        batch_first=True,
    )
    return Around(layer, lambda m, x: m(x)[0]), _numbers(_rows(random), length, width)


def _generic(random: Random) -> Case:
    width, out, length = random.randint(2, 6), random.randint(1, 5), random.randint(2, 6)
    choices: tuple[Callable[[], Case], ...] = (
        lambda: (Direct(width), _numbers(*_axes(random), width)),
        lambda: (nn.PReLU(width), _numbers(_rows(random), width, length)),
        lambda: (nn.BatchNorm1d(width).eval(), _numbers(_rows(random), width, length)),
        lambda: (
            Around(nn.Bilinear(width, width, out), lambda m, x: m(x, x.sin())),
            _numbers(_rows(random), length, width),
        ),
    )
    return random.choice(choices)()


#: Kind -> how to draw a layer of it with an input.
DRAWS: dict[str, Callable[[Random], Case]] = {
    "linear": _linear,
    "embedding": _embedding,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "rms_norm_float32": _rms_norm_float32,
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "transposed_linear": _transposed_linear,
    "embedding_bag": _embedding_bag,
    "attention": _attention,
    "recurrent": _recurrent,
    "generic": _generic,
}
