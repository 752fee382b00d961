"""From what a user asks to an intervention: selections become numbers, names become weights.

One thing asked is a mapping with one operation in it and what that operation needs::

    {"remove": {"license": "GPL-3.0-only"}, "steps": (1, 50)}
    {"remove": {"lines>=": 100}, "time": ("2026-03-01T12:00", "2026-03-01T12:30")}
    {"renormalise": {"package": "requests"}, "by": "tokens"}
    {"reweight": 17, "factor": 2.0}
    {"reprofile": {"class": "copyleft"}, "profile": "head-only"}
    {"substitute": 17, "example": 18}
    {"policy": "policy-v2.yaml"}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from gradledger.canon import keyed_commitment
from gradledger.errors import QueryError
from gradledger.query.commitments import salts_of, source_of_examples
from gradledger.query.content import item_digest, read_items
from gradledger.query.decide_again import decide_again
from gradledger.query.names import allowed
from gradledger.query.records import Records
from gradledger.query.selection import selected_examples, words
from gradledger.query.step_times import NOTE, steps_between
from gradledger.schema import (
    RENORMALISED_BY,
    Change,
    Intervention,
    Remove,
    Renormalise,
    Reprofile,
    Reweight,
    Substitute,
    Together,
    parts_of,
)

#: Operation -> what may stand beside it.
OPERATIONS: Final[dict[str, tuple[str, ...]]] = {
    "remove": (),
    "renormalise": ("by",),
    "reweight": ("factor",),
    "reprofile": ("profile",),
    "substitute": ("content", "example"),
    "policy": ("now", "within"),
}

#: Filters by column, or the number, id or key of one example.
Selection = Mapping[str, Any] | int | str
Asked = Mapping[str, Any]


@dataclass(frozen=True)
class Resolved:
    """What was asked, ready to be executed or estimated.

    Attributes:
        intervention: What is done.
        title: The same in words.
        notes: What a reader must know of it.
    """

    intervention: Intervention
    title: str
    notes: tuple[str, ...] = field(default=())


def resolve(records: Records, asked: Sequence[Asked]) -> Resolved:
    """Return what several things asked come to, in one run.

    Args:
        records: The run.
        asked: Mappings as the head of this module shows them; each acts on what those before it
            left. Several operations make one intervention.

    Raises:
        QueryError: Q105 column, Q108 nothing matches, Q110 argument, Q131 content, Q132 salts.
        PolicyError: A policy cannot be read or reads what was not recorded.
    """
    if not asked:
        raise _argument("no intervention", "one of " + ", ".join(OPERATIONS))
    found = [_one(records, item) for item in asked]
    if len(found) == 1:
        return found[0]
    parts = tuple(part for item in found for part in parts_of(item.intervention))
    origin = {
        key: value
        for item in found
        if isinstance(item.intervention, Together)
        for key, value in item.intervention.origin.items()
    }
    title = "; then ".join(item.title for item in found)
    notes = tuple(dict.fromkeys(note for item in found for note in item.notes))
    return Resolved(Together(parts, origin), title, notes)


def _one(records: Records, asked: Asked) -> Resolved:
    named = [name for name in asked if name in OPERATIONS]
    if len(named) != 1:
        raise _argument(", ".join(named) or "no intervention", "one of " + ", ".join(OPERATIONS))
    operation = named[0]
    beside = ("steps", "time") if operation != "policy" else ()
    strange = [n for n in asked if n not in (operation, *beside, *OPERATIONS[operation])]
    if strange:
        known = ", ".join((*OPERATIONS[operation], *beside)) or "nothing else"
        raise _argument(f"{strange[0]}={asked[strange[0]]!r} with {operation}", known)
    if operation == "policy":
        return _policy(records, asked)
    filters = as_filters(asked[operation])
    examples = selected_examples(records, filters)
    steps, timed = _steps(records, asked.get("steps")), asked.get("time")
    if timed is not None:
        if steps is not None:
            raise _argument("steps and time", "one of them")
        steps = steps_between(records, timed)
    intervention = _BUILDERS[operation](records, examples, steps, asked)
    notes = (*_notes(intervention), *((NOTE,) if timed is not None else ()))
    return Resolved(intervention, in_words(intervention, words(filters)), notes)


def as_filters(selection: Selection) -> dict[str, Any]:
    """Return a selection as filters by column."""
    return dict(selection) if isinstance(selection, Mapping) else {"example": selection}


def in_words(intervention: Change, label: str) -> str:
    """Return one change in words."""
    if not intervention.examples:
        return "nothing is changed"
    when = "" if intervention.steps is None else " in steps {} to {}".format(*intervention.steps)
    if isinstance(intervention, Reweight):
        return f"{label} with {intervention.factor:g} times its weight{when}"
    if isinstance(intervention, Reprofile):
        weights = ", ".join(f"{weight:g}" for weight in intervention.weights)
        return f"{label} under the profile {weights}{when}"
    if isinstance(intervention, Substitute):
        return f"other content in the place of {label}"
    means = ""
    if isinstance(intervention, Renormalise):
        means = f", means over the {intervention.by} that remain"
    return f"without {label}{when}{means}"


def _remove(_: Records, examples: tuple[int, ...], steps: Any, asked: Asked) -> Change:
    del asked
    return Remove(examples, steps=steps)


def _renormalise(_: Records, examples: tuple[int, ...], steps: Any, asked: Asked) -> Change:
    by = allowed("by", asked.get("by", RENORMALISED_BY[0]), RENORMALISED_BY)
    return Renormalise(examples, steps=steps, by=by)


def _reweight(_: Records, examples: tuple[int, ...], steps: Any, asked: Asked) -> Change:
    factor = asked.get("factor")
    if factor is None:
        raise _argument("reweight without a factor", "a factor of at least 0")
    return Reweight(examples, _checked([factor])[0], steps=steps)


def _reprofile(records: Records, examples: tuple[int, ...], steps: Any, asked: Asked) -> Change:
    profile, blocks = asked.get("profile"), records.begin.blocks
    if profile is None:
        raise _argument("reprofile without a profile", "a profile of the run, or weights")
    if isinstance(profile, str):
        known = records.profiles
        weights = tuple(known[allowed("profile", profile, sorted(known))])
    elif len(profile) != len(blocks):
        raise _argument(f"{len(profile)} weights", f"{len(blocks)}: {', '.join(blocks)}")
    else:
        weights = _checked(profile)
    return Reprofile(examples, weights, steps=steps)


def _substitute(records: Records, examples: tuple[int, ...], steps: Any, asked: Asked) -> Change:
    content, other = asked.get("content"), asked.get("example")
    if (content is None) == (other is None):
        raise _argument("substitute with " + ("both" if content is not None else "neither of them"),
                        "content, or the example whose content is taken")  # fmt: skip
    rows = records.ask("SELECT example, content FROM examples ORDER BY example")
    recorded = {int(number): value for number, value in rows}
    sources = source_of_examples(records)
    if other is not None:
        found = selected_examples(records, {"example": other})
        if len(found) != 1:
            raise _argument(f"{len(found)} examples to take content from", "one")
        source, held = found[0], recorded[found[0]]
        same = tuple(
            n for n in examples
            if n == source or (held and held == recorded[n] and sources[n] == sources[source])
        )  # fmt: skip
        contents = tuple(f"example:{source}" for _ in examples)
        return Substitute(examples, contents, same=same, steps=steps)
    items = _items(examples, content)
    salts = salts_of(records)
    contents = tuple(
        keyed_commitment(salts[sources[n]], item_digest(items[n])) if sources[n] in salts else ""
        for n in examples
    )
    if "" in contents:
        raise QueryError(
            "Q132",
            observed=f"no salt of source {sources[examples[contents.index('')]]!r:.80}",
            expected="the salt of every chosen example, which names the other content",
            where=str(records.path),
        )
    same = tuple(n for n, value in zip(examples, contents, strict=True) if value == recorded[n])
    return Substitute(examples, contents, items, same=same, steps=steps)


def _items(examples: tuple[int, ...], content: Any) -> dict[int, Any]:
    """Return the other item of every example: the same for all, or one for each by number."""
    if isinstance(content, str | Path):
        content = read_items(Path(content))[0]
    if isinstance(content, Mapping) and content and all(type(key) is int for key in content):
        missing = [number for number in examples if number not in content]
        if missing:
            raise _argument(f"no content for example {missing[0]}", "one for every chosen example")
        return {number: content[number] for number in examples}
    return dict.fromkeys(examples, content)


#: Operation -> what makes a change of it.
_BUILDERS: Final[dict[str, Callable[[Records, tuple[int, ...], Any, Asked], Change]]] = {
    "remove": _remove,
    "renormalise": _renormalise,
    "reweight": _reweight,
    "reprofile": _reprofile,
    "substitute": _substitute,
}


def _policy(records: Records, asked: Asked) -> Resolved:
    within, now = asked.get("within"), asked.get("now")
    chosen = None
    if within is not None:
        chosen = frozenset(selected_examples(records, as_filters(within)))
    if isinstance(now, str):
        now = datetime.fromisoformat(now)
    found = decide_again(records, asked["policy"], now=now, within=chosen)
    counts = ", ".join(f"{name} {count}" for name, count in found.counts.items()) or "nothing else"
    notes = [f"by {found.label}: {counts}; decided from the recorded attributes"]
    if found.counts.get("not replayed"):
        notes.append(
            f"{found.counts['not replayed']} examples that only {found.label} admits have no place "
            "in the recorded order and are left out"
        )
    return Resolved(found.intervention, f"under the policy {found.label}", tuple(notes))


def _notes(intervention: Change) -> tuple[str, ...]:
    if isinstance(intervention, Renormalise) and intervention.examples:
        return (
            "renormalised: in a micro-batch of B visits, k of them removed, the gradients of the "
            "others are multiplied by B / (B - k)"
            + (" counted in tokens" if intervention.by == "tokens" else "")
            + "; that is the mean over what remains, where the loss is a mean",
        )
    return ()


def _steps(records: Records, steps: Any) -> tuple[int, int] | None:
    if steps is None:
        return None
    try:
        first, last = (int(value) for value in steps)
    except (TypeError, ValueError) as error:
        raise _argument(f"steps={steps!r:.60}", "first and last step") from error
    span = records.span or (0, 0)
    if not span[0] <= first <= last <= span[1]:
        raise QueryError(
            "Q106",
            observed=f"steps {first} to {last}",
            expected=f"within {span[0]} to {span[1]}",
            where=str(records.path),
        )
    return first, last


def _checked(weights: Sequence[float]) -> tuple[float, ...]:
    for weight in weights:
        if not math.isfinite(weight) or weight < 0:
            raise _argument(f"weight {weight}", "finite numbers of at least 0")
    return tuple(float(weight) for weight in weights)


def _argument(observed: str, expected: str) -> QueryError:
    return QueryError("Q110", observed=observed, expected=expected, where="whatif")
