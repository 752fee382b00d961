"""Units: which module captures which parameter tensors, found before the first step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from gradledger.gradient.kind import LayerKind
from gradledger.gradient.kinds import find_kind
from gradledger.gradient.ownership import bypassed_children, read_parameters


@dataclass(frozen=True)
class Unit:
    """One module with the parameters it owns and the kind that captures them.

    Attributes:
        path: Dotted name of the module; empty for the model itself.
        module: The module.
        kind: Its layer kind.
        names: Local names of the captured parameters -> the parameter; dotted where the module
            reads parameters of a child without calling it.
    """

    path: str
    module: nn.Module
    kind: LayerKind
    names: dict[str, nn.Parameter]


@dataclass(frozen=True)
class Survey:
    """All units of a model, and what has none.

    Attributes:
        units: In model order.
        unattributed: Parameters without capture: full name -> (parameter, reason).
    """

    units: tuple[Unit, ...]
    unattributed: dict[str, tuple[nn.Parameter, str]]


def survey(
    model: nn.Module,
    updated: Iterable[nn.Parameter],
    unattributed: Sequence[str] = (),
    later: Sequence[str] = (),
) -> Survey:
    """Find the unit of every parameter that the optimizer updates.

    Args:
        model: The model.
        updated: Parameters of the optimizer.
        unattributed: Patterns over full parameter names that are left without capture by name.
        later: Patterns over full names of parameters that may be trained later.
    """
    wanted = {id(parameter) for parameter in updated if parameter.requires_grad}
    wanted |= {id(parameter) for parameter in matching(model, later)}
    units: list[Unit] = []
    missing: dict[str, tuple[nn.Parameter, str]] = {}
    bypassed: set[int] = set()
    for path, module in model.named_modules():
        if id(module) in bypassed:
            continue
        bypassed |= {id(module.get_submodule(child)) for child in bypassed_children(module)}
        own = {
            name: parameter
            for name, parameter in read_parameters(module).items()
            if id(parameter) in wanted
        }
        if not own:
            continue
        kind, reason = find_kind(module)
        captured: dict[str, nn.Parameter] = {}
        for name, parameter in own.items():
            full = f"{path}.{name}" if path else name
            if any(fnmatchcase(full, pattern) for pattern in unattributed):
                missing[full] = (parameter, "left out by name")
            elif kind is None:
                missing[full] = (parameter, reason)
            else:
                captured[name] = parameter
        if kind is not None and captured:
            units.append(Unit(path, module, kind, captured))
    return Survey(tuple(units), missing)


def matching(model: nn.Module, patterns: Sequence[str]) -> list[nn.Parameter]:
    """Return the parameters of which some full name matches one of the patterns."""
    return [
        parameter
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    ]
