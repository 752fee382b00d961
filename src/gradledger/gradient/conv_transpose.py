"""Transposed convolutions: input and output gradient change places."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn
from torch.nn.modules.conv import _ConvTransposeNd

from gradledger.gradient.bias import bias_form
from gradledger.gradient.form import Form
from gradledger.gradient.kind import Call
from gradledger.gradient.rows import split_images
from gradledger.gradient.sliding import Sliding, Window

_CLASSES = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class ConvTransposeKind:
    """Weight by windows of the output gradient times inputs, bias by sums over positions.

    A transposed convolution writes where a convolution reads, so the kernel slides over the output
    gradient, and the input stands still.
    """

    name = "conv_transpose"
    wants_all_rows = False

    def refuses(self, module: nn.Module) -> str | None:
        """Accept modules whose forward is that of torch's transposed convolutions."""
        for kind in _CLASSES:
            if isinstance(module, kind) and type(module).forward is kind.forward:
                return None
        return "forward is not that of nn.ConvTranspose1d, 2d or 3d"

    def forms(self, call: Call, names: frozenset[str]) -> dict[str, Form]:
        """Return forms for ``weight`` and ``bias``."""
        module = call.module
        forms: dict[str, Form] = {}
        if call.output_grad is None or not isinstance(module, _CLASSES):
            return forms
        num_axes = len(module.kernel_size)
        grads = split_images(call.output_grad, call.num_rows, num_axes, call.where)
        if "weight" in names:
            inputs = split_images(call.input.detach(), call.num_rows, num_axes, call.where)
            window = Window(module.kernel_size, module.stride, module.dilation, module.groups)
            around = [extent for extent in reversed(_numbers(module)) for _ in range(2)]
            padded = F.pad(grads, around) if any(around) else grads
            form = Sliding(padded, inputs.to(grads.dtype), window, call.num_rows)
            forms["weight"] = form.smallest()
        if "bias" in names:
            flat = grads.flatten(2).mT  # (images, positions, channels)
            forms["bias"] = bias_form(flat.reshape(call.num_rows, -1, flat.shape[2]))
        return forms


def _numbers(module: _ConvTransposeNd) -> tuple[int, ...]:
    """Return the padding, which transposed convolutions take as numbers only."""
    return tuple(extent for extent in module.padding if isinstance(extent, int))
