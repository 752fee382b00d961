"""Measure a probe, and its gradient, without leaving a trace on the model or the training.

The model is lent stand-ins for all its tensors while the loss runs. So no gradient can be left
over, hooks on the user's parameters do not fire, and buffers that a forward pass updates are
copies.
The same device evaluates a probe at a stored state: its tensors are the stand-ins then.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from gradledger.errors import InputError
from gradledger.probe.probe import Probe
from gradledger.state.torch_state import model_tensors, preserved_rng

#: Seed of whatever is random inside a loss: the same at every measurement.
_SEED: Final = 0


def probe_value(
    model: nn.Module, probe: Probe, tensors: Mapping[str, Tensor] | None = None
) -> float:
    """Return the loss of a probe in nats.

    Args:
        model: The model; afterwards as it was: mode, tensors, gradients, random numbers.
        probe: What to measure.
        tensors: Parameters and buffers by name, to measure with instead of the model's own.

    Raises:
        InputError: The loss is not one number (I132) or changes the model's parameters (I133).
    """
    with _lent(model, probe, tensors), torch.no_grad():
        return float(_loss(model, probe).double())


def probe_gradient(
    model: nn.Module,
    probe: Probe,
    names: Sequence[str],
    tensors: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Return the gradient of a probe's loss.

    Args:
        model: As for ``probe_value``.
        probe: What to measure.
        names: Parameters to differentiate by.
        tensors: As for ``probe_value``.

    Returns:
        Name to gradient, shape and dtype of the tensor; zeros where the loss does not depend on it.

    Raises:
        InputError: The loss is not one number, or no gradient flows from it to any of the tensors
            (I132); or it changes the model's parameters (I133).
    """
    with _lent(model, probe, tensors, names) as leaves, torch.enable_grad():
        loss = _loss(model, probe)
        wanted = [leaves[name] for name in names]
        found: Sequence[Tensor | None] = [None] * len(wanted)
        if loss.requires_grad:
            found = torch.autograd.grad(loss, wanted, allow_unused=True)
    if all(gradient is None for gradient in found):
        raise InputError(
            "I132",
            observed="a loss that no gradient flows from to the parameters",
            expected="a loss computed from the model, with autograd",
            where=f"probe {probe.name!r}",
            hint="call the model that the loss function is given, outside torch.no_grad()",
        )
    return {
        name: torch.zeros_like(leaf) if gradient is None else gradient.detach()
        for name, leaf, gradient in zip(names, wanted, found, strict=True)
    }


def _loss(model: nn.Module, probe: Probe) -> Tensor:
    loss: Any = probe.loss(model, probe.inputs)
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.dtype.is_floating_point:
        seen = (
            f"a {loss.dtype} tensor of shape {tuple(loss.shape)}"
            if isinstance(loss, Tensor)
            else f"a {type(loss).__name__}"
        )
        raise InputError(
            "I132",
            observed=seen,
            expected="a floating-point tensor with one element",
            where=f"probe {probe.name!r}",
            hint="return the mean loss, such as losses.mean()",
        )
    return loss.reshape(())


@contextmanager
def _lent(
    model: nn.Module,
    probe: Probe,
    tensors: Mapping[str, Tensor] | None,
    differentiable: Sequence[str] = (),
) -> Iterator[dict[str, Tensor]]:
    """Lend the model stand-ins and evaluation mode; yield the leaves to differentiate by."""
    own = model_tensors(model)
    parameters = {id(value) for value in model.parameters()}
    devices = {value.device.type for value in own.values()} or {"cpu"}
    versions = {name: value._version for name, value in own.items()}  # noqa: SLF001 - no public name
    leaves: dict[str, Tensor] = {}
    lent: dict[int, Tensor] = {}
    for name, value in own.items():
        source = value if tensors is None else tensors[name].to(value.device)
        is_parameter = id(value) in parameters
        if is_parameter:
            follow = value.requires_grad or name in differentiable
            leaves[name] = nn.Parameter(source.detach(), requires_grad=follow)
        # A forward pass may write to a buffer: it gets a copy.
        lent[id(value)] = leaves[name] if is_parameter else source.detach().clone()
    with ExitStack() as stack:
        stack.enter_context(preserved_rng())
        stack.enter_context(torch.inference_mode(mode=False))
        for kind in devices:
            stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(_stand_ins(model, lent))
        _seed()
        yield leaves
    changed = [n for n, value in own.items() if value._version != versions[n]]  # noqa: SLF001
    if changed:
        raise InputError(
            "I133",
            observed=f"a loss that wrote to {changed[0]}",
            expected="a loss that only reads the model",
            where=f"probe {probe.name!r}",
            hint="start again from the last model state; leave the model alone in the loss",
        )


@contextmanager
def _stand_ins(model: nn.Module, lent: Mapping[int, Tensor]) -> Iterator[None]:
    """Put stand-ins in the modules' own tables, where attributes and hooks are not asked.

    The flag ``training`` is set directly: ``train()`` may be overridden to do more than that.
    """
    held: list[tuple[nn.Module, dict[str, Any], dict[str, Any], bool]] = [
        (module, dict(module._parameters), dict(module._buffers), module.training)  # noqa: SLF001
        for module in model.modules()
    ]
    try:
        for module, parameters, buffers, _ in held:
            module.training = False
            for table, values in _tables(module, parameters, buffers):
                table.update({name: lent[id(v)] for name, v in values.items() if v is not None})
        yield
    finally:
        for module, parameters, buffers, training in held:
            module.training = training
            for table, values in _tables(module, parameters, buffers):
                table.clear()
                table.update(values)


def _tables(
    module: nn.Module, parameters: dict[str, Any], buffers: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Pair a module's own tables with what they held."""
    yield module._parameters, parameters  # noqa: SLF001 - see _stand_ins
    yield module._buffers, buffers  # noqa: SLF001


def _seed() -> None:
    """Seed the generators that exist; a CUDA device that is not in use yet is left alone."""
    random.seed(_SEED)
    np.random.seed(_SEED)  # noqa: NPY002 - losses may draw from NumPy's global generator
    torch.default_generator.manual_seed(_SEED)
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(_SEED)
