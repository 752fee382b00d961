"""Functions whose second derivative torch composes from many passes over memory: a few passes each.

A Hessian-vector product spends more time in elementwise operations than in matrix products. While a
step is gone through backwards, calls of these functions are answered by forms that keep what does
not depend on the direction, so that each further direction costs the least. Values are torch's own.

    elementwise   g = b f'(x):   to b  v f',   to x  v b f''
    softmax       r = y (b - <y, b>):   with u = v - <v, y>:   to b  y u,   to x  u r - y <u, r>
    layer norm    r = P(w b), P(u) = (u - mean(u) - h mean(u h)) / s, h = (x - mean(x)) / s:
                  to b  w P(v),   to x  -(h mean(v r) + r mean(v h) + P(v) mean(w b h)) / s

Here b is the gradient that arrives in the first pass backwards, v the cotangent of the second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_Pair = tuple[Tensor, Tensor]

#: Height of the normal density.
_DENSITY: Final = 1.0 / math.sqrt(2.0 * math.pi)
_RECTIFIERS: Final = (functional.relu, torch.relu, Tensor.relu)


class Curved(TorchFunctionMode):
    """Answers calls of the functions of this file where their arguments are usual ones.

    Args:
        captured: ``id`` of the parameters whose gradients taps tell.
        kinks: Width of inputs over which a rectifier's step is spread in second derivatives; 0 for
            torch's own, which knows nothing of the kink. No exact derivative then, but one that
            foretells changes which carry inputs over it.
    """

    def __init__(self, captured: Collection[int], kinks: float = 0.0) -> None:
        super().__init__()
        self._captured, self._kinks = captured, kinks

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function, or the form of it that is cheap to differentiate twice."""
        given = dict(kwargs or {})
        form = _FORMS.get(func)
        if self._kinks and func in _RECTIFIERS:
            form = self._relu
        if form is not None and args and _is_curved(args[0]) and self._tapped(args, given):
            found = form(*args, **given)
            if found is not None:
                return found
        return func(*args, **given)

    def _relu(self, x: Tensor, inplace: bool = False) -> Tensor | None:  # noqa: FBT001, FBT002
        if inplace:
            return None

        def slopes(values: Tensor) -> _Pair:
            spread = (values / self._kinks).square_().mul_(-0.5).exp_()
            return (values > 0).to(values.dtype), spread.mul_(_DENSITY / self._kinks)

        return _apply(_Elementwise, x, functional.relu(x.detach()), slopes)

    def _tapped(self, args: Sequence[Any], given: Mapping[str, Any]) -> bool:
        """Whether every parameter among the arguments is captured."""
        return all(
            id(value) in self._captured
            for value in (*args[1:], *given.values())
            if isinstance(value, Tensor) and value.requires_grad
        )


def _is_curved(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and value.requires_grad
        and torch.is_grad_enabled()
        and value.dtype in (torch.float32, torch.float64)
    )


class _Elementwise(torch.autograd.Function):
    """y = f(x); ``slopes`` gives f' and f''."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, slopes: Callable[[Tensor], _Pair]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.slopes = slopes
        return y

    @staticmethod
    def backward(ctx: Any, b: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        if not hasattr(ctx, "known"):
            ctx.known = ctx.slopes(x.detach())
        if not torch.is_grad_enabled():
            return b * ctx.known[0], None, None
        return _ElementwiseAgain.apply(b, x, *ctx.known), None, None  # type: ignore[no-untyped-call]


class _ElementwiseAgain(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, b: Tensor, x: Tensor, first: Tensor, second: Tensor) -> Tensor:  # noqa: ARG004
        ctx.first, ctx.bent = first, b * second if ctx.needs_input_grad[1] else None
        return b * first

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> Any:
        return v * ctx.first, None if ctx.bent is None else v * ctx.bent, None, None


class _Softmax(torch.autograd.Function):
    """Along the last axis."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, b: Tensor) -> Any:
        x, y = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return _bent(b, y), None
        return _SoftmaxAgain.apply(b, x, y.detach()), None  # type: ignore[no-untyped-call]


class _SoftmaxAgain(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, b: Tensor, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG004
        r = _bent(b, y)
        ctx.save_for_backward(y, r)
        return r

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> Any:
        y, r = ctx.saved_tensors
        to_b, to_x = v * y, v * r
        share, along = to_b.sum(-1, keepdim=True), to_x.sum(-1, keepdim=True)
        # <u, r> is <v, r>: the elements of r add up to nothing.
        to_x.addcmul_(share, r, value=-1).addcmul_(along, y, value=-1)
        return to_b.addcmul_(share, y, value=-1), to_x, None


def _bent(b: Tensor, y: Tensor) -> Tensor:
    """Return y (b - <y, b>)."""
    r: Tensor = torch.ops.aten._softmax_backward_data(b, y, -1, y.dtype)  # noqa: SLF001
    return r


class _LayerNorm(torch.autograd.Function):
    """Over the last axis; in the first pass backwards nobody asks for its weight's gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        y, mean, rstd = torch.native_layer_norm(x, x.shape[-1:], weight, bias, eps)
        ctx.save_for_backward(x, weight, bias)
        ctx.mean, ctx.rstd = mean, rstd
        return y

    @staticmethod
    def backward(ctx: Any, b: Tensor) -> Any:
        x, weight, bias = ctx.saved_tensors
        if torch.is_grad_enabled():
            inner: Any = _LayerNormAgain
            return inner.apply(b, x, weight, ctx.mean, ctx.rstd), None, None, None
        asked = list(ctx.needs_input_grad[:3])
        found = torch.ops.aten.native_layer_norm_backward(
            b, x, x.shape[-1:], ctx.mean, ctx.rstd, weight, bias, asked
        )
        return *(one if wanted else None for one, wanted in zip(found, asked, strict=True)), None


class _LayerNormAgain(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, b: Tensor, x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor) -> Any:
        r = _projected(b, x, mean, rstd, weight)
        h = (x - mean) * rstd
        tilt = torch.linalg.vecdot(b * weight, h).unsqueeze(-1) * rstd / -x.shape[-1]
        ctx.save_for_backward(b, x, weight, r)
        ctx.kept = (mean, rstd, h, tilt)
        return r

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> Any:
        (b, x, weight, r), (mean, rstd, h, tilt) = ctx.saved_tensors, ctx.kept
        moved = _projected(v, x, mean, rstd, None)
        shrink = rstd / -x.shape[-1]
        along_r = torch.linalg.vecdot(v, r).unsqueeze(-1) * shrink
        along_h = torch.linalg.vecdot(v, h).unsqueeze(-1) * shrink
        to_x = (moved * tilt).addcmul_(h, along_r).addcmul_(r, along_h)
        to_weight = (b * moved).flatten(0, -2).sum(0) if ctx.needs_input_grad[2] else None
        return moved * weight, to_x, to_weight, None, None


def _projected(b: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor | None) -> Tensor:
    """Return P(w b)."""
    found: Any = torch.ops.aten.native_layer_norm_backward(
        b, x, x.shape[-1:], mean, rstd, weight, None, [True, False, False]
    )
    moved: Tensor = found[0]
    return moved


def _gelu_slopes(x: Tensor) -> _Pair:
    square = x * x
    density = square.mul(-0.5).exp_().mul_(_DENSITY)
    first = torch.special.ndtr(x).addcmul_(x, density)
    return first, density.mul_(square.neg_().add_(2.0))


def _silu_slopes(x: Tensor) -> _Pair:
    gate = torch.sigmoid(x)
    steep = gate * (1.0 - gate)
    return gate + x * steep, steep * (2.0 + x * (1.0 - 2.0 * gate))


def _gelu(x: Tensor, approximate: str = "none") -> Tensor | None:
    if approximate != "none":
        return None
    return _apply(_Elementwise, x, functional.gelu(x.detach()), _gelu_slopes)


def _silu(x: Tensor, inplace: bool = False) -> Tensor | None:  # noqa: FBT001, FBT002 - as torch's
    if inplace:
        return None
    return _apply(_Elementwise, x, functional.silu(x.detach()), _silu_slopes)


def _softmax(x: Tensor, dim: Any = None, *rest: Any, **further: Any) -> Tensor | None:
    if (
        not isinstance(dim, int)
        or dim not in (-1, x.dim() - 1)
        or any(value not in (None, 3) for value in (*rest, *further.values()))
    ):
        return None
    return _apply(_Softmax, x, x.detach().softmax(-1))


def _layer_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor | None:
    if len(normalized_shape) != 1 or weight is None or bias is None:
        return None
    return _apply(_LayerNorm, x, weight, bias, eps)


def _apply(form: Any, *arguments: Any) -> Tensor:
    found: Tensor = form.apply(*arguments)
    return found


_FORMS: Final[dict[Any, Callable[..., Tensor | None]]] = {
    functional.gelu: _gelu,
    functional.silu: _silu,
    functional.softmax: _softmax,
    torch.softmax: _softmax,
    Tensor.softmax: _softmax,
    functional.layer_norm: _layer_norm,
}
