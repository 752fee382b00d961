"""Optimizer settings and state as JSON and named tensors, and back, exactly and without pickle.

JSON knows fewer types than Python: tuples, NaN, and mappings with other keys than text are written
as an object with one tagged member. Tensors go to a file of their own and are named from here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradledger.errors import StorageError
from gradledger.state.arrays import Array
from gradledger.state.torch_items import array_tensor, tensor_array


def encode(value: Any, path: str, arrays: dict[str, Array], device: torch.device) -> Any:
    """Return a value as JSON can hold it.

    Args:
        value: Tensors, numbers, text, None, and lists, tuples and mappings of these.
        path: Name of the value; tensors are stored under it.
        arrays: Takes the tensors.
        device: Where the parameter lies that the value belongs to.

    Raises:
        StorageError: The value is of another type. Code S124.
    """
    if isinstance(value, Tensor):
        arrays[path] = tensor_array(value, path)
        return {"tensor": path, "with_parameter": value.device == device}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        parts = [
            encode(item, f"{path}/{place}", arrays, device) for place, item in enumerate(value)
        ]
        return {kind: parts}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {
            "dict": {
                key: encode(item, f"{path}/{key}", arrays, device) for key, item in value.items()
            }
        }
    if isinstance(value, Mapping):
        pairs = [
            [
                encode(key, f"{path}/key", arrays, device),
                encode(item, f"{path}/{key}", arrays, device),
            ]
            for key, item in value.items()
        ]
        return {"mapping": pairs}
    raise StorageError(
        "S124",
        observed=f"a {type(value).__name__}",
        expected="tensors, numbers, text, None, and lists, tuples and mappings of these",
        where=path,
        hint="keep such values outside the optimizer's settings and state",
    )


def decode(
    value: Any, arrays: Mapping[str, Array], parameter: Tensor | None, device: torch.device
) -> Any:
    """Return what ``encode`` was given.

    Args:
        value: From JSON.
        arrays: The tensors, by name.
        parameter: Whose shape and strides a tensor of the same shape takes.
        device: Where tensors go that lay with the parameter.

    Raises:
        KeyError, TypeError, ValueError: The value was not written by ``encode``.
    """
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        place = device if value["with_parameter"] else torch.device("cpu")
        return _place(array_tensor(arrays[value["tensor"]]), parameter, place)
    ((kind, content),) = value.items()
    if kind == "float":
        return float(content)
    if kind == "dict":
        return {key: decode(item, arrays, parameter, device) for key, item in content.items()}
    if kind == "mapping":
        return {
            decode(key, arrays, parameter, device): decode(item, arrays, parameter, device)
            for key, item in content
        }
    parts = [decode(item, arrays, parameter, device) for item in content]
    return {"list": list, "tuple": tuple}[kind](parts)


def _place(tensor: Tensor, parameter: Tensor | None, device: torch.device) -> Tensor:
    """Bring a tensor to its device, laid out in memory like the parameter it belongs to."""
    if parameter is None or parameter.shape != tensor.shape:
        return tensor.to(device)
    like = torch.empty_like(parameter, dtype=tensor.dtype, device=device, requires_grad=False)
    return like.copy_(tensor)
