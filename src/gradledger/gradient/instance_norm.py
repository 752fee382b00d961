"""Instance normalisation with scale and shift: per channel, summed over positions."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from gradledger.gradient.channels import channel_sums
from gradledger.gradient.form import Form
from gradledger.gradient.kind import Call
from gradledger.gradient.rows import split_images

_NUM_AXES = {nn.InstanceNorm1d: 1, nn.InstanceNorm2d: 2, nn.InstanceNorm3d: 3}


class InstanceNormKind:
    """Scale by ``sum_t xhat_t * b_t``, shift by ``sum_t b_t``, per channel.

    Statistics are those of one image in training mode, and those that were tracked in evaluation
    mode; neither couples rows.
    """

    name = "instance_norm"
    wants_all_rows = False

    def refuses(self, module: nn.Module) -> str | None:
        """Accept modules whose forward is that of torch's instance normalisation."""
        if _num_axes(module) and type(module).forward is _InstanceNorm.forward:
            return None
        return "forward is not that of nn.InstanceNorm1d, 2d or 3d"

    def forms(self, call: Call, names: frozenset[str]) -> dict[str, Form]:
        """Return forms for ``weight`` and ``bias``."""
        module, grads = call.module, call.output_grad
        if grads is None or not isinstance(module, _InstanceNorm):
            return {}
        grads = split_images(grads, call.num_rows, _num_axes(module), call.where)
        forms: dict[str, Form] = {}
        if "weight" in names:
            inputs = split_images(call.input.detach(), call.num_rows, _num_axes(module), call.where)
            normalised = _normalise(inputs, module)
            forms["weight"] = channel_sums(normalised.to(grads.dtype) * grads, call)
        if "bias" in names:
            forms["bias"] = channel_sums(grads, call)
        return forms


def _num_axes(module: nn.Module) -> int:
    return next((axes for kind, axes in _NUM_AXES.items() if isinstance(module, kind)), 0)


def _normalise(inputs: Tensor, module: _InstanceNorm) -> Tensor:
    if module.training or not module.track_running_stats:
        return F.instance_norm(inputs, eps=module.eps)
    mean, variance = module.running_mean, module.running_var
    return F.instance_norm(inputs, mean, variance, use_input_stats=False, eps=module.eps)
