"""Parameter groups of a model: one per module that owns parameters, rolled up by block."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor, nn, optim

from gradledger.errors import InputError
from gradledger.gradient import Survey, matching
from gradledger.schema import Coverage, GroupRecord, TensorRecord


@dataclass(frozen=True)
class Group:
    """A parameter group with its live tensors.

    Attributes:
        record: What is written to the run.
        parameters: Name -> tensor, in model order.
    """

    record: GroupRecord
    parameters: dict[str, nn.Parameter]


@dataclass(frozen=True)
class Grouping:
    """All parameter groups of a model.

    Attributes:
        groups: In model order.
        blocks: Block names from input to output.
        blocks_of: Blocks that use a tensor, by ``id``: several where it is shared.
        coverage: What is captured and what is not.
    """

    groups: tuple[Group, ...]
    blocks: tuple[str, ...]
    blocks_of: dict[int, tuple[str, ...]]
    coverage: Coverage


def block_of(path: str, model: nn.Module) -> str:
    """Return the block of a module: its path up to the first numbered container, or the path.

    ``model.layers.3.mlp.up_proj`` belongs to block ``model.layers.3``; a module outside any
    ``ModuleList`` or ``Sequential`` is a block of its own.
    """
    parts = path.split(".") if path else []
    node: nn.Module = model
    for index, part in enumerate(parts):
        if isinstance(node, nn.ModuleList | nn.Sequential):
            return ".".join(parts[: index + 1])
        node = getattr(node, part)
    return path or type(model).__name__


def build_groups(
    model: nn.Module,
    optimizer: optim.Optimizer,
    found: Survey,
    patterns: Mapping[str, str | Sequence[str]] | None = None,
    later: Sequence[str] = (),
) -> Grouping:
    """Group the tensors that the optimizer updates.

    Args:
        model: The model.
        optimizer: Its optimizer; tensors that it does not hold are frozen and not booked.
        found: Which module captures which tensor.
        patterns: Group name -> glob pattern(s) over full tensor names; tensors that match none
            keep their module's group.
        later: Patterns over full names of tensors that may be trained later; booked from the start.

    Raises:
        InputError: The optimizer holds a tensor that the model does not. Code I109.
    """
    places = _names_of(model)
    held = {
        id(parameter): index
        for index, param_group in enumerate(optimizer.param_groups)
        for parameter in param_group["params"]
    }
    _refuse_strangers(optimizer, places)
    booked = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    booked = (booked & held.keys()) | {id(parameter) for parameter in matching(model, later)}
    kinds = {
        id(parameter): unit.kind.name for unit in found.units for parameter in unit.names.values()
    }
    blocks = _blocks_in_order(model)
    members: dict[str, dict[str, nn.Parameter]] = {}
    for names in places.values():
        full = names[0]
        parameter = model.get_parameter(full)
        if id(parameter) in booked:
            members.setdefault(_group_name(full, model, patterns), {})[full] = parameter
    groups = []
    for number, (name, parameters) in enumerate(members.items()):
        tensors = tuple(
            TensorRecord(
                full,
                tuple(parameter.shape),
                str(parameter.dtype).removeprefix("torch."),
                held.get(id(parameter), -1),
                kinds.get(id(parameter), ""),
                tuple(places[id(parameter)][1:]),
            )
            for full, parameter in parameters.items()
        )
        block = block_of(next(iter(parameters)).rpartition(".")[0], model)
        size = sum(parameter.numel() for parameter in parameters.values())
        record = GroupRecord(number, name, block, blocks.index(block), "parameters", size, tensors)
        groups.append(Group(record, parameters))
    blocks_of = {
        key: tuple(dict.fromkeys(block_of(name.rpartition(".")[0], model) for name in names))
        for key, names in places.items()
    }
    return Grouping(tuple(groups), blocks, blocks_of, _coverage(groups, found, booked, model))


def _names_of(model: nn.Module) -> dict[int, list[str]]:
    """Every name of every parameter tensor, by ``id``; shared tensors have several."""
    places: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        places.setdefault(id(parameter), []).append(name)
    return places


def _refuse_strangers(optimizer: optim.Optimizer, places: Mapping[int, list[str]]) -> None:
    for index, param_group in enumerate(optimizer.param_groups):
        for parameter in param_group["params"]:
            if id(parameter) not in places:
                raise InputError(
                    "I109",
                    observed=f"a tensor of shape {tuple(parameter.shape)} in param group {index}",
                    expected="tensors of the model alone",
                    where="optimizer",
                    hint="pass the module that owns every tensor of the optimizer as the model",
                )


def _blocks_in_order(model: nn.Module) -> tuple[str, ...]:
    """Blocks that own parameters, in order of registration: from input to output."""
    names = (name.rpartition(".")[0] for name, _ in model.named_parameters(remove_duplicate=False))
    return tuple(dict.fromkeys(block_of(name, model) for name in names))


def _group_name(
    full: str, model: nn.Module, patterns: Mapping[str, str | Sequence[str]] | None
) -> str:
    for name, globs in (patterns or {}).items():
        if any(fnmatchcase(full, glob) for glob in ([globs] if isinstance(globs, str) else globs)):
            return name
    return full.rpartition(".")[0] or type(model).__name__


def _coverage(
    groups: Iterable[Group], found: Survey, booked: Set[int], model: nn.Module
) -> Coverage:
    missing = {
        id(parameter): (name, reason) for name, (parameter, reason) in found.unattributed.items()
    }
    captured = {id(value) for unit in found.units for value in unit.names.values()}
    tensors: list[Tensor] = [value for group in groups for value in group.parameters.values()]
    unattributed = {
        key: entry for key, entry in missing.items() if key in booked and key not in captured
    }
    # A shared tensor is captured only if every module that uses it is.
    partly = [missing[key] for key in missing if key in captured]
    frozen = sum(value.numel() for value in model.parameters() if id(value) not in booked)
    notes = [f"{frozen} parameters are frozen or not in the optimizer"] if frozen else []
    notes += [f"shared tensor {name} also has a use without capture: {why}" for name, why in partly]
    return Coverage(
        num_updated=sum(value.numel() for value in tensors),
        num_captured=sum(
            value.numel() for value in tensors if id(value) in captured and id(value) not in missing
        ),
        unattributed=(*unattributed.values(), *partly),
        notes=tuple(notes),
    )
