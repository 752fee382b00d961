"""Depth profiles: how much of an example's gradient each block receives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gradledger.errors import PolicyError
from gradledger.policy.document import Document, Path
from gradledger.policy.model import MAX_WEIGHT, ProfileSpec
from gradledger.policy.place import shown
from gradledger.policy.problems import Problems
from gradledger.policy.selector import Selector

#: Every block in full; always there.
FULL: Final = "full"
#: In every block the smallest weight among all profiles that the policy assigns.
LEAST: Final = "least"
#: Written for examples that are not admitted and so act nowhere.
NO_PROFILE: Final = "none"


@dataclass(frozen=True)
class Profile:
    """A named depth profile, not yet resolved against a model.

    Attributes:
        name: Its name within the policy.
        default: Weight of blocks that no selector names.
        max: Largest weight that it may use.
        weights: Selectors with their weights.
        least_of: Where given, each block has the smallest weight among these profiles instead.
        description: What it is for.
    """

    name: str
    default: float
    max: float = 1.0
    weights: tuple[tuple[Selector, float], ...] = ()
    least_of: tuple[Profile, ...] = ()
    description: str = ""

    @property
    def is_full(self) -> bool:
        """Whether every block has weight 1, in any model."""
        return self.default == 1 and all(weight == 1 for _, weight in self.weights)


def resolve_profile(profile: Profile, blocks: Sequence[str]) -> list[float]:
    """Return the weight of every block of a model.

    A selector that names one block goes before patterns and ranges; among these, none may meet
    another.

    Args:
        profile: A profile of a loaded policy.
        blocks: Names of the model's blocks, from input to output.

    Returns:
        One weight per block, each between 0 and the profile's maximum.

    Raises:
        PolicyError: P142 a selector that the model lacks, P143 selectors that meet; both with
            ``file:line:column``.
    """
    if profile.least_of:
        resolved = [resolve_profile(part, blocks) for part in profile.least_of]
        return [min(weights) for weights in zip(*resolved, strict=True)]
    weights = [profile.default] * len(blocks)
    for exact in (False, True):
        taken: dict[int, Selector] = {}
        for selector, weight in profile.weights:
            if selector.is_exact != exact:
                continue
            for place in selector.select(blocks):
                if place in taken:
                    raise _overlap(profile, blocks[place], taken[place], selector)
                taken[place] = selector
                weights[place] = weight
    return weights


def read_profiles(
    document: Document, specs: Mapping[str, ProfileSpec], problems: Problems
) -> dict[str, Profile]:
    """Return the declared profiles and ``full``, checked as far as this goes without a model.

    Args:
        document: Where they stand.
        specs: Their fields.
        problems: What to do with a mistake.

    Raises:
        PolicyError: P116 a reserved name, P141 weights out of range, P144 malformed selectors.
    """
    profiles = {FULL: Profile(FULL, 1.0, description="every block in full")}
    for name, spec in specs.items():
        path: Path = ("profiles", name)
        profile = _read(document, path, name, spec, problems)
        if name in {LEAST, NO_PROFILE} or (name == FULL and not profile.is_full):
            expected = "weight 1 everywhere" if name == FULL else "another name"
            problems.add(
                PolicyError(
                    "P116",
                    observed=f"a profile named {name!r}",
                    expected=expected,
                    where=document.where(path, key=True),
                    hint="give it a name of its own",
                )
            )
        profiles[name] = profile
    return profiles


def least_of(profiles: Iterable[Profile]) -> Profile:
    """Return the profile with the smallest weights in every block."""
    parts = tuple(profiles)
    return Profile(
        LEAST,
        min(part.default for part in parts),
        max(part.max for part in parts),
        least_of=parts,
        description="smallest weight of every block, for examples of unknown class or band",
    )


def _read(
    document: Document, path: Path, name: str, spec: ProfileSpec, problems: Problems
) -> Profile:
    limit = float(spec.max)
    if not 0 < limit <= MAX_WEIGHT:
        expected = f"above 0, at most {MAX_WEIGHT:g}"
        problems.add(_out_of_range(document, (*path, "max"), spec.max, expected))
        limit = MAX_WEIGHT
    allowed = f"between 0 and {limit:g}, the profile's maximum"
    if not 0 <= spec.default <= limit:
        problems.add(_out_of_range(document, (*path, "default"), spec.default, allowed))
    weights = []
    for number, entry in enumerate(spec.weights):
        inner = (*path, "weights", number)
        if not 0 <= entry.weight <= limit:
            problems.add(_out_of_range(document, (*inner, "weight"), entry.weight, allowed))
        selector = Selector(entry.blocks, document.where((*inner, "blocks")))
        with problems.part():
            selector.check()
            weights.append((selector, float(entry.weight)))
    return Profile(name, float(spec.default), limit, tuple(weights), description=spec.description)


def _out_of_range(document: Document, path: Path, value: float, expected: str) -> PolicyError:
    return PolicyError(
        "P141",
        observed=shown(value),
        expected=expected,
        where=document.where(path),
        hint=f"amplify only by a declared max, at most {MAX_WEIGHT:g}",
    )


def _overlap(profile: Profile, block: str, first: Selector, second: Selector) -> PolicyError:
    return PolicyError(
        "P143",
        observed=f"{second.text!r} and {first.text!r}, both with block {block!r}",
        expected="at most one pattern or range per block",
        where=f"{second.where}, profile {profile.name!r}",
        hint="shorten one of them, or name the block alone: a single name goes first",
    )
