"""The optimizer's part of a stored model state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn, optim

from gradledger.errors import StorageError
from gradledger.state.arrays import Array
from gradledger.state.torch_encoding import decode, encode
from gradledger.state.torch_items import parameter_names


@dataclass(frozen=True)
class OptimizerState:
    """Settings and state of an optimizer.

    Attributes:
        settings: Class, param groups and state as JSON; tensors are named.
        arrays: The tensors, by name.
    """

    settings: dict[str, Any]
    arrays: dict[str, Array]


def read_optimizer(optimizer: optim.Optimizer, model: nn.Module) -> OptimizerState:
    """Return settings of all param groups and the whole state.

    Raises:
        StorageError: A value is neither tensor, number, text nor a collection of these. Code S124.
    """
    arrays: dict[str, Array] = {}
    groups, state, known = [], {}, set()
    names = parameter_names(optimizer, model)
    for number, (members, group) in enumerate(zip(names, optimizer.param_groups, strict=True)):
        values = {key: value for key, value in group.items() if key != "params"}
        device = _device(group)
        groups.append(
            {
                "params": members,
                "settings": encode(values, f"param_groups/{number}", arrays, device),
            }
        )
        for name, parameter in zip(members, group["params"], strict=True):
            known.add(id(parameter))
            if parameter in optimizer.state:
                values = optimizer.state[parameter]
                state[name] = encode(values, name, arrays, parameter.device)
    others = {key: value for key, value in optimizer.state.items() if id(key) not in known}
    settings = {
        "class": _class(optimizer),
        "param_groups": groups,
        "state": state,
        "others": encode(others, "optimizer", arrays, torch.device("cpu")),
    }
    return OptimizerState(settings, arrays)


def restore_optimizer(
    settings: Mapping[str, Any],
    arrays: Mapping[str, Array],
    model: nn.Module,
    optimizer: optim.Optimizer,
    folder: Path,
) -> Callable[[], None]:
    """Check a stored optimizer against a live one; return what brings it to the stored state.

    Raises:
        StorageError: Class, param groups or parameters differ, or a value was not written by
            ``read_optimizer``. Code S122.
    """
    names = parameter_names(optimizer, model)
    try:
        stored = [list(group["params"]) for group in settings["param_groups"]]
        _expect(settings["class"], _class(optimizer), "optimizer", folder)
        _expect(stored, names, "param groups", folder)
        groups = [
            decode(group["settings"], arrays, None, _device(live))
            for group, live in zip(settings["param_groups"], optimizer.param_groups, strict=True)
        ]
        state: dict[Any, Any] = {}
        parameters = _parameters(names, optimizer)
        for name, values in settings["state"].items():
            parameter = parameters[name]
            state[parameter] = decode(values, arrays, parameter.detach(), parameter.device)
        state.update(decode(settings["others"], arrays, None, torch.device("cpu")))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise misfit(f"{type(error).__name__}: {error}", "a stored optimizer", folder) from error

    def apply() -> None:
        for live, values in zip(optimizer.param_groups, groups, strict=True):
            live.update(values)
        optimizer.state.clear()
        optimizer.state.update(state)

    return apply


def misfit(observed: str, expected: str, folder: Path) -> StorageError:
    """Return the error for a stored state that belongs to another model or optimizer."""
    return StorageError(
        "S122",
        observed=observed,
        expected=expected,
        where=str(folder),
        hint="build model and optimizer as they were when the state was stored",
    )


def _expect(stored: Any, live: Any, what: str, folder: Path) -> None:
    if stored != live:
        raise misfit(f"{what} {stored!r:.200}", f"{what} {live!r:.200}", folder)


def _parameters(names: list[list[str]], optimizer: optim.Optimizer) -> dict[str, Tensor]:
    return {
        name: parameter
        for members, group in zip(names, optimizer.param_groups, strict=True)
        for name, parameter in zip(members, group["params"], strict=True)
    }


def _class(optimizer: optim.Optimizer) -> str:
    return f"{type(optimizer).__module__}.{type(optimizer).__qualname__}"


def _device(group: Mapping[str, Any]) -> torch.device:
    parameters = group["params"]
    return parameters[0].device if parameters else torch.device("cpu")
