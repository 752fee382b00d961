"""A loaded policy: checked, parsed, with an identity."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gradledger.canon import record_digest
from gradledger.policy.assign import Assignment
from gradledger.policy.model import AttributeSpec, PolicySpec
from gradledger.policy.predicate import Predicate
from gradledger.policy.profile import Profile

_DIGEST_DOMAIN: Final = "policy/1"
#: Quoted texts and names of a predicate, or white space between its words.
_QUOTED_OR_BLANK: Final = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\s+")


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        id: Its name within the policy.
        effect: Verdict that it asks for when it is true.
        tree: Its predicate.
        text: The predicate as written.
        message: Why, in the policy's words.
        cites: What it rests on.
        reads: Attributes that it reads.
    """

    id: str
    effect: str
    tree: Predicate
    text: str
    message: str
    cites: tuple[str, ...]
    reads: tuple[str, ...]


@dataclass(frozen=True)
class ContentClass:
    """One content class, with the predicate that makes an example belong to it.

    Attributes:
        id: Its name within the policy.
        tree: The predicate.
        text: The predicate as written.
        description: What it is for.
        reads: Attributes that it reads.
    """

    id: str
    tree: Predicate
    text: str
    description: str
    reads: tuple[str, ...]


@dataclass(frozen=True)
class Bands:
    """Ranges of a measure: names between rising edges."""

    attribute: str
    edges: tuple[float, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """An admission policy, ready to decide.

    Attributes:
        id: Identifier, the same in all versions.
        version: Version.
        digest: SHA-256 of its canonical form, 64 hex digits.
        text: The document, as it was read.
        description: What it is for.
        attributes: Declared attributes.
        rules: Rules, in the order of the document.
        classes: Content classes, in the order in which they are tried.
        bands: The declared measure, if any.
        profiles: Depth profiles by name: those declared, ``full`` and ``least``.
        assignment: Which profile an admitted example gets.
        reads: Attributes on which a decision depends; others are declared and never read.
    """

    id: str
    version: str
    digest: str
    text: str
    description: str
    attributes: Mapping[str, AttributeSpec]
    rules: tuple[Rule, ...]
    classes: tuple[ContentClass, ...]
    bands: Bands | None
    profiles: Mapping[str, Profile]
    assignment: Assignment
    reads: tuple[str, ...]


def canonical_form(spec: PolicySpec) -> dict[str, Any]:
    """Return what the digest of a policy is taken over.

    The document as data, without fields that hold their default; in predicates, white space between
    words counts as one space. Comments, layout, quoting and the order of keys change nothing; the
    order of lists does.
    """
    form = spec.model_dump(by_alias=True, exclude_defaults=True)
    form["format"] = spec.format
    for entry in [*form["rules"], *form.get("classes", ())]:
        entry["when"] = _spaced(entry["when"])
    return form


def policy_digest(spec: PolicySpec) -> str:
    """Return the SHA-256 of the canonical form (RFC 8785, in the domain ``policy/1``)."""
    return record_digest(_DIGEST_DOMAIN, canonical_form(spec))


def _spaced(text: str) -> str:
    """Return a predicate with one space for all white space outside quotes."""
    return _QUOTED_OR_BLANK.sub(
        lambda match: " " if match.group().isspace() else match.group(), text
    ).strip()
