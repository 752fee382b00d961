"""Convolutions over one, two or three axes: ``nn.Conv1d``, ``nn.Conv2d``, ``nn.Conv3d``."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from gradledger.gradient.bias import bias_form
from gradledger.gradient.form import Form
from gradledger.gradient.kind import Call
from gradledger.gradient.rows import split_images
from gradledger.gradient.sliding import Sliding, Window

_CLASSES = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class ConvKind:
    """Weight by windows of the input times output gradients, bias by sums over positions.

    Source:
        Rochette, Manoel, Tramel (2019), Efficient per-example gradient computations in
        convolutional neural networks.
    """

    name = "conv"
    wants_all_rows = False

    def refuses(self, module: nn.Module) -> str | None:
        """Accept modules whose forward is that of torch's convolutions."""
        for kind in _CLASSES:
            if (
                isinstance(module, kind)
                and type(module).forward is kind.forward
                and type(module)._conv_forward is kind._conv_forward  # noqa: SLF001 - half of forward
            ):
                return None
        return "forward is not that of nn.Conv1d, nn.Conv2d or nn.Conv3d"

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
            padded = _pad(inputs.to(grads.dtype), module)
            forms["weight"] = Sliding(padded, grads, window, call.num_rows).smallest()
        if "bias" in names:
            flat = grads.flatten(2).mT  # (images, positions, channels)
            forms["bias"] = bias_form(flat.reshape(call.num_rows, -1, flat.shape[2]))
        return forms


def _pad(inputs: Tensor, module: _ConvNd) -> Tensor:
    """Pad as the module does; for ``padding="same"`` the odd element goes behind."""
    around = module._reversed_padding_repeated_twice  # noqa: SLF001 - what its forward uses
    if not any(around):
        return inputs
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    return F.pad(inputs, around, mode=mode)
