"""Report every mistake of a policy document, and what the policy would do where there is none.

A document whose fields are wrong in places is read on without them: what is certain about the rest
is reported too, what might follow from the missing part is not.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from gradledger.errors import PolicyError
from gradledger.policy import document as doc
from gradledger.policy.build import build_policy
from gradledger.policy.document import Document, read_document
from gradledger.policy.fields import check_fields, field_problems
from gradledger.policy.load import EVIDENCE, read_source
from gradledger.policy.model import FORMAT, PolicySpec
from gradledger.policy.policy import Policy
from gradledger.policy.problems import Problems
from gradledger.policy.profile import FULL, LEAST, resolve_profile

#: Mistakes that a faulty declaration of attributes or parameters might have caused elsewhere.
_MAY_FOLLOW: Final = frozenset(("P117", "P124", "P125", "P126", "P130", "P131"))
_STAND_IN: Final[dict[str, dict[str, Any]]] = {
    "rules": {"effect": "deny", "when": "FALSE"},
    "classes": {"when": "FALSE"},
}


@dataclass(frozen=True)
class PolicyCheck:
    """What a check found.

    Attributes:
        name: How the document is called in places.
        problems: Every mistake, in the order of the document.
        policy: The policy; None where there is a mistake.
        blocks: Blocks of the model that it was checked against, from input to output; None where
            none was given.
        weights: Profile -> weight of every block; empty without blocks.
        remarks: What is allowed and perhaps not meant.
    """

    name: str
    problems: tuple[PolicyError, ...]
    policy: Policy | None
    blocks: tuple[str, ...] | None = None
    weights: Mapping[str, list[float]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the policy may be used."""
        return not self.problems


def check(
    path_or_text: str | Path,
    blocks: Sequence[str] | None = None,
    *,
    evidence: Collection[str] = EVIDENCE,
) -> PolicyCheck:
    """Check a policy document and report all of its mistakes.

    Args:
        path_or_text: A file; or the document itself, which has more than one line.
        blocks: Names of the model's blocks, from input to output: profiles are then resolved.
        evidence: Names of the functions that ``decide`` will be given.

    Raises:
        PolicyError: The document cannot be read at all. Code P101.
    """
    problems = Problems(keep=True)
    policy, weights = None, {}
    name = Path(path_or_text).name if "\n" not in str(path_or_text) else "policy"
    with problems.part():
        document = read_document(read_source(path_or_text))
        policy = _read(document, evidence, problems)
    if policy is not None and blocks is not None:
        weights = _resolved(policy, blocks, problems)
    found = problems.sorted()
    if found and found[0].code == "P101":
        raise found[0]
    if policy is None or found:
        return PolicyCheck(name, found, None, None if blocks is None else tuple(blocks))
    return PolicyCheck(
        name,
        (),
        policy,
        None if blocks is None else tuple(blocks),
        weights,
        tuple(_remarks(policy)),
    )


def _read(document: Document, evidence: Collection[str], problems: Problems) -> Policy | None:
    """Return the policy, or None where its fields are wrong; keep every mistake."""
    try:
        spec = check_fields(document)
    except PolicyError as first:
        if not isinstance(document.content, dict) or first.code == "P114":
            raise
    else:
        return build_policy(document, spec, evidence, problems)
    faulty = field_problems(document)
    for _, problem in faulty:
        problems.add(problem)
    paths = [path for path, _ in faulty]
    try:
        sound = PolicySpec.model_validate(_sound(document.content, paths))
    except ValidationError:
        return None
    below = Problems(keep=True)
    build_policy(document, sound, evidence, below)
    unsure = any(path[:1] in {("attributes",), ("params",)} for path in paths)
    for problem in below.sorted():
        if not (unsure and problem.code in _MAY_FOLLOW):
            problems.add(problem)
    return None


def _sound(content: dict[str, Any], paths: Sequence[doc.Path]) -> dict[str, Any]:
    """Return the document with stand-ins for its faulty parts; places in lists stay."""
    sound = copy.deepcopy(content)
    for path in paths:
        section, inner = path[:1], path[1:2]
        if not section:
            continue
        name = str(section[0])
        if not inner or name not in {*_STAND_IN, "profiles", "attributes", "params"}:
            sound.pop(name, None)
        elif name in _STAND_IN and name in sound:
            sound[name][inner[0]] = _stand_in(name, inner[0], sound[name][inner[0]], path)
        elif name == "profiles" and name in sound:
            sound[name][inner[0]] = {"default": 1}
        elif name in sound:
            sound[name].pop(inner[0], None)
    if any(path[:1] in {("classes",), ("bands",), ("profiles",)} for path in paths):
        sound.pop("assign", None)
    rest = {"format": FORMAT, "policy": "stand-in", "version": "0"}
    return {**rest, "rules": [{"id": "stand-in", **_STAND_IN["rules"]}], **sound}


def _stand_in(section: str, place: Any, entry: Any, path: doc.Path) -> dict[str, Any]:
    known = isinstance(entry, dict) and isinstance(entry.get("id"), str) and path[2:3] != ("id",)
    return {"id": entry["id"] if known else f"stand-in-{place}", **_STAND_IN[section]}


def _resolved(policy: Policy, blocks: Sequence[str], problems: Problems) -> dict[str, list[float]]:
    """Return the weights of every profile; keep every selector that the model lacks."""
    weights: dict[str, list[float]] = {}
    for name, profile in policy.profiles.items():
        if profile.least_of:
            continue
        below = Problems(keep=True)
        for selector, _ in profile.weights:
            with below.part():
                selector.select(blocks)
        if not below.sorted():
            with below.part():
                weights[name] = resolve_profile(profile, blocks)
        for problem in below.sorted():
            problems.add(problem)
    if len(weights) == len(policy.profiles) - 1:
        weights[LEAST] = resolve_profile(policy.profiles[LEAST], blocks)
    return weights


def _remarks(policy: Policy) -> Iterator[str]:
    if not any(rule.effect == "admit" for rule in policy.rules):
        yield "no rule admits, so that nothing would ever be admitted"
    unread = [name for name in policy.attributes if name not in policy.reads]
    if unread:
        yield f"declared and never read: {', '.join(unread)}"
    assigned = set(policy.assignment.by.values())
    idle = [name for name in policy.profiles if name not in {*assigned, FULL, LEAST}]
    if idle:
        yield f"profiles that no class or band gets: {', '.join(idle)}"
    if LEAST in assigned:
        yield (
            f"an admitted example of unknown class or band may get {LEAST!r}: the smallest weight "
            "of all assigned profiles, block by block"
        )
