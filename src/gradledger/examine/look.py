"""Look at model, optimizer and policy: nothing is run, nothing is attached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from torch import nn, optim

from gradledger.errors import GradientError, GradledgerError, InputError, PolicyError
from gradledger.examine.finding import LIMITS, Finding
from gradledger.gradient import coupled_modules, survey
from gradledger.policy import Policy, load_policy, resolve_profile
from gradledger.query import Column, Table
from gradledger.recorder.groups import Grouping, build_groups
from gradledger.recorder.guards import refuse_sparse
from gradledger.recorder.weights import FULL, DepthWeights
from gradledger.update import find_family

#: Part of a reason -> what to do about it.
_NEXT: Final[dict[str, str]] = {
    "draws random numbers": "set dropout inside this module to 0, or give its parameters a module "
    "of their own",
    "couples rows": "use normalisation within rows (GroupNorm, LayerNorm)",
    "parametrize": "remove the parametrisation, or leave the tensor without capture",
}
_NEXT_DEFAULT: Final = (
    "use a layer of docs/reference/layers.md or add a layer kind; to accept it, name it in "
    "unattributed=[...]"
)
_BY_NAME: Final = "left out by name"
_UNCOUPLE: Final = (
    "use GroupNorm or LayerNorm, put the module in eval mode, or pass accept_coupled=True"
)


@dataclass
class Seen:
    """What was seen of a model, an optimizer and a policy.

    Attributes:
        grouping: Parameter groups; None where the optimizer does not fit the model.
        family: Name of the optimizer family; empty where it cannot be booked.
        coupled: Modules that couple rows in their present mode.
        profiles: Name of every limiting profile that can be enforced -> weight per block.
        refused: Name of every profile that cannot -> why.
        findings: In the order in which they were met.
        notes: What a reader should know besides.
    """

    grouping: Grouping | None
    family: str
    coupled: tuple[str, ...]
    profiles: dict[str, list[float]]
    refused: dict[str, str]
    findings: list[Finding]
    notes: list[str]


def look(
    model: nn.Module,
    optimizer: optim.Optimizer,
    *,
    policy: Policy | str | Path | None = None,
    groups: Mapping[str, str | Sequence[str]] | None = None,
    unattributed: Sequence[str] = (),
    later: Sequence[str] = (),
    accept_coupled: bool = False,
) -> Seen:
    """Return what recording would find before its first step."""
    seen = Seen(None, "", tuple(coupled_modules(model)), {}, {}, [], [])
    try:
        family = find_family(optimizer)
        seen.family = family.name
        family.check(optimizer)
    except GradledgerError as error:
        seen.findings.append(Finding.of(error, "optimizer"))
    updated = [value for group in optimizer.param_groups for value in group["params"]]
    found = survey(model, updated, unattributed, later)
    try:
        seen.grouping = build_groups(model, optimizer, found, groups, later)
    except InputError as error:
        seen.findings.append(Finding.of(error, "optimizer"))
        return seen
    try:
        groups_of = seen.grouping.groups
        refuse_sparse(model, [value for group in groups_of for value in group.parameters.values()])
    except GradledgerError as error:
        seen.findings.append(Finding.of(error, "model"))
    seen.notes += seen.grouping.coverage.notes
    seen.findings += _uncaptured(seen.grouping)
    _judge_coupling(seen, model, accept_coupled=accept_coupled)
    if policy is not None:
        _judge_policy(seen, policy, accept_coupled=accept_coupled)
    return seen


def coverage_tables(grouping: Grouping) -> tuple[Table, Table]:
    """Return coverage by block, and tensor by tensor."""
    why = dict(grouping.coverage.unattributed)
    blocks: dict[str, list[int]] = {}
    rows = []
    for group in grouping.groups:
        for tensor in group.record.tensors:
            size = group.parameters[tensor.name].numel()
            captured = tensor.name not in why
            sums = blocks.setdefault(group.record.block, [0, 0])
            sums[0] += size
            sums[1] += size * captured
            shape = " x ".join(str(length) for length in tensor.shape) or "scalar"
            kind = tensor.capture if captured else "none"
            rows.append((tensor.name, shape, size, kind, why.get(tensor.name, "")))
    by_block = Table(
        "blocks",
        "Coverage by block, from input to output",
        (
            Column("block", "block"),
            Column("parameters", "parameters", "integer"),
            Column("captured_percent", "captured [%]", "number"),
        ),
        tuple((name, size, 100.0 * kept / size if size else None)
              for name, (size, kept) in blocks.items()),
    )  # fmt: skip
    by_tensor = Table(
        "tensors",
        "Coverage by tensor: what the optimizer updates",
        (
            Column("tensor", "tensor"),
            Column("shape", "shape"),
            Column("elements", "elements", "integer"),
            Column("captured_as", "captured as"),
            Column("why_not", "why not", wraps=True, in_text=bool(why)),
        ),
        tuple(rows),
    )
    return by_block, by_tensor


def profiles_table(seen: Seen) -> tuple[Table, ...]:
    """Return which profiles of the policy can be enforced on this model."""
    entries = [(name, True, "") for name in seen.profiles]
    entries += [(name, False, reason) for name, reason in seen.refused.items()]
    if not entries:
        return ()
    columns = (
        Column("profile", "profile"),
        Column("enforceable", "enforceable", "flag"),
        Column("why_not", "why not", wraps=True, in_text=bool(seen.refused)),
    )
    return (Table("profiles", "Depth profiles of the policy", columns, tuple(entries)),)


def _uncaptured(grouping: Grouping) -> list[Finding]:
    """Return one finding per module and reason."""
    tensors: dict[tuple[str, str], list[str]] = {}
    for name, reason in grouping.coverage.unattributed:
        if reason != _BY_NAME:
            tensors.setdefault((name.rpartition(".")[0], reason), []).append(name)
    return [
        Finding(
            LIMITS,
            module or names[0],
            f"no per-example capture of {', '.join(names)}: {reason}",
            next((words for part, words in _NEXT.items() if part in reason), _NEXT_DEFAULT),
        )
        for (module, reason), names in tensors.items()
    ]


def _judge_coupling(seen: Seen, model: nn.Module, *, accept_coupled: bool) -> None:
    if seen.coupled and accept_coupled:
        seen.notes.append(f"rows are coupled by {', '.join(seen.coupled)}, as accepted")
    elif seen.coupled:
        seen.findings.append(
            Finding(
                LIMITS,
                ", ".join(seen.coupled[:3]) + (", ..." if len(seen.coupled) > 3 else ""),  # noqa: PLR2004
                f"rows of a batch are coupled ({len(seen.coupled)} in all): sums still balance, "
                "but a visit's part is not caused by that visit alone",
                _UNCOUPLE,
            )
        )
    later = set(coupled_modules(model, training_only=False)) - set(seen.coupled)
    if later:
        seen.notes.append(f"would couple rows in training mode: {', '.join(sorted(later))}")


def _judge_policy(seen: Seen, policy: Policy | str | Path, *, accept_coupled: bool) -> None:
    """Resolve every profile on the model's blocks and say which cannot be enforced."""
    grouping = seen.grouping
    try:
        loaded = load_policy(policy) if isinstance(policy, str | Path) else policy
    except PolicyError as error:
        seen.findings.append(Finding.of(error, "policy"))
        return
    if grouping is None:
        return
    weights = DepthWeights(grouping, accept_coupled=accept_coupled)
    for name, profile in loaded.profiles.items():
        try:
            resolved = resolve_profile(profile, grouping.blocks)
            _enforce(weights, name, resolved, seen.coupled, accept_coupled=accept_coupled)
        except (GradientError, PolicyError) as error:
            seen.refused[name] = f"[{error.code}] {error.title}: {error.observed}"
            seen.findings.append(Finding.of(error, f"profile {name}"))
        else:
            if name != FULL and any(weight != 1.0 for weight in resolved):
                seen.profiles[name] = resolved


def _enforce(
    weights: DepthWeights,
    name: str,
    resolved: list[float],
    coupled: Sequence[str],
    *,
    accept_coupled: bool,
) -> None:
    number = weights.add(name, resolved)
    if not accept_coupled:
        weights.refuse_coupled(np.asarray([number], np.int32), lambda: coupled)
