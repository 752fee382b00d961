"""Tensors of a model and its optimizer under names that do not depend on the process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn, optim

from gradledger.errors import StorageError
from gradledger.state.arrays import Array, dtype_label, labelled

_NATIVE: Final = frozenset(
    {
        torch.bool,
        torch.uint8,
        torch.int8,
        torch.uint16,
        torch.int16,
        torch.float16,
        torch.uint32,
        torch.int32,
        torch.float32,
        torch.uint64,
        torch.int64,
        torch.float64,
        torch.complex64,
        torch.complex128,
    }
)


@cache
def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a torch dtype without its prefix."""
    return str(dtype).removeprefix("torch.")


def plain_tensor(tensor: Tensor, name: str) -> Tensor:
    """Return a tensor detached and with its bits as they count.

    Raises:
        StorageError: Its elements are not laid out in memory one by one: sparse, quantized, meta,
            lazily initialised or sharded. Code S124.
    """
    usual = type(tensor) is Tensor or type(tensor) is nn.Parameter
    if kind := _oddity(tensor, usual=usual):
        raise StorageError(
            "S124",
            observed=f"a {kind} tensor",
            expected="dense tensors with their elements in this process",
            where=name,
            hint="gather or convert it first",
        )
    tensor = tensor.detach()
    return tensor.resolve_conj().resolve_neg() if tensor.is_conj() or tensor.is_neg() else tensor


def tensor_array(tensor: Tensor, name: str) -> Array:
    """Return a tensor as an array: a view on the CPU, a copy from a device.

    Args:
        tensor: Dense, any dtype and device.
        name: For the message.

    Raises:
        StorageError: The tensor has no plain elements. Code S124.
    """
    tensor = plain_tensor(tensor, name)
    if not tensor.is_cpu:
        tensor = tensor.cpu()
    if tensor.dtype in _NATIVE:
        return tensor.numpy()
    label = labelled(dtype_name(tensor.dtype), tensor.element_size())
    content = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
    return content.view(label).reshape(tuple(tensor.shape))


def array_tensor(array: Array) -> Tensor:
    """Return a tensor on the CPU with its own copy of an array's bits."""
    dtype = getattr(torch, dtype_label(array.dtype))
    content = np.array(array, order="C", copy=True).reshape(-1).view(np.uint8)
    if not content.size:
        return torch.empty(array.shape, dtype=dtype)
    return torch.from_numpy(content).view(dtype).reshape(array.shape)


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters, then buffers (also those that torch does not save), each tensor once.

    A tensor with several names bears the first.
    """
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def model_aliases(model: nn.Module) -> dict[str, str]:
    """Return every further name of a tied tensor with the name that it is stored under."""
    first = {id(tensor): name for name, tensor in model_tensors(model).items()}
    every = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    return {name: first[id(t)] for name, t in every.items() if name != first[id(t)]}


def model_items(model: nn.Module) -> list[tuple[str, Array]]:
    """Return parameters and buffers as arrays, in model order."""
    return [(name, tensor_array(tensor, name)) for name, tensor in model_tensors(model).items()]


def parameter_names(optimizer: optim.Optimizer, model: nn.Module) -> list[list[str]]:
    """Return the names of the parameters of each of torch's optimizer param groups.

    A parameter that the model does not hold is named by its place in the optimizer.
    """
    names = {id(tensor): name for name, tensor in model.named_parameters()}
    return [
        [
            names.get(id(parameter), f"param_groups.{group}.{place}")
            for place, parameter in enumerate(settings["params"])
        ]
        for group, settings in enumerate(optimizer.param_groups)
    ]


def optimizer_values(
    optimizer: optim.Optimizer, model: nn.Module
) -> list[tuple[str, Tensor | Array]]:
    """Return all of the optimizer's state in a fixed order, tensors where they are.

    Names are ``parameter/key``, such as ``layers.0.weight/exp_avg``; nested values add their key or
    place. Numbers and text become arrays. Settings of the param groups are not state: a schedule
    changes them between steps.
    """
    found: list[tuple[str, Tensor | Array]] = []
    known: set[int] = set()
    for names, group in zip(parameter_names(optimizer, model), optimizer.param_groups, strict=True):
        for name, parameter in zip(names, group["params"], strict=True):
            known.add(id(parameter))
            # Asking by index would create an entry.
            found += _leaves(name, optimizer.state.get(parameter, {}))
    others = {str(key): value for key, value in optimizer.state.items() if id(key) not in known}
    return [*found, *_leaves("optimizer", others)]


def optimizer_items(optimizer: optim.Optimizer, model: nn.Module) -> list[tuple[str, Array]]:
    """Return all of the optimizer's state as arrays; see ``optimizer_values``."""
    return [
        (name, tensor_array(value, name) if isinstance(value, Tensor) else value)
        for name, value in optimizer_values(optimizer, model)
    ]


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Tensor | Array]]:
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from _leaves(f"{path}/{key}", value[key])
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from _leaves(f"{path}/{place}", item)
    else:
        yield path, _plain_array(value, path)


def _plain_array(value: Any, path: str) -> Array:
    if isinstance(value, bool | float | np.generic):
        return np.asarray(value)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return np.asarray(value, np.int64)
    if value is None or isinstance(value, int | str):
        return np.frombuffer(json.dumps(value).encode(), np.uint8)
    raise StorageError(
        "S124",
        observed=f"a {type(value).__name__} in the optimizer's state",
        expected="tensors, numbers, text, None, and lists, tuples and mappings of these",
        where=path,
    )


def _oddity(tensor: Tensor, *, usual: bool) -> str:
    if not usual:
        if isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer):
            return "not yet initialised"
        if hasattr(tensor, "to_local"):
            return "sharded"
    if tensor.layout is not torch.strided:
        return "sparse"
    if tensor.is_quantized:
        return "quantized"
    return "meta" if tensor.is_meta else ""
