"""From what a user types to parameter groups and steps of the run."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from gradledger.errors import QueryError
from gradledger.query.records import Records
from gradledger.schema import GroupRecord

#: Blocks that an error message lists.
_NAMED = 12


@dataclass(frozen=True)
class Span:
    """Steps ``start`` to ``stop``, both included."""

    start: int
    stop: int

    def __str__(self) -> str:
        if self.start == self.stop:
            return f"step {self.start}"
        return f"steps {self.start} to {self.stop}"


@dataclass(frozen=True)
class Matched:
    """Parameter groups that a pattern selected.

    Attributes:
        label: The pattern in words.
        groups: The groups, by number.
    """

    label: str
    groups: tuple[GroupRecord, ...]

    @property
    def numbers(self) -> tuple[int, ...]:
        """Group numbers, ascending."""
        return tuple(group.group for group in self.groups)

    @property
    def captured(self) -> tuple[int, ...]:
        """Numbers of the groups of which at least one tensor has capture."""
        return tuple(
            group.group for group in self.groups if any(tensor.capture for tensor in group.tensors)
        )

    def __str__(self) -> str:
        count = len(self.groups)
        if count == 1 and self.groups[0].name == self.label:
            return self.label
        return f"{self.label} ({count} parameter group{'s' if count != 1 else ''})"


def match_groups(records: Records, pattern: str | Sequence[str] | None) -> Matched:
    """Return the parameter groups that ``pattern`` names.

    Args:
        records: The run.
        pattern: Name of a group or block, a dotted prefix of one, a glob (``blocks.*.attn``), or
            several of them in a sequence or separated by commas; ``None`` means every group of
            parameters. Buffers are matched only where nothing else is.

    Raises:
        QueryError: Q104 where nothing matches.
    """
    groups = tuple(sorted(records.begin.groups, key=lambda group: group.group))
    if pattern is None:
        kept = tuple(group for group in groups if group.role == "parameters")
        return Matched("all parameters", kept)
    wanted = pattern.split(",") if isinstance(pattern, str) else list(pattern)
    wanted = [str(item).strip() for item in wanted]
    numbers: set[int] = set()
    for item in wanted:
        hits = [group for group in groups if _matches(group, item)]
        if not hits:
            raise _unknown(groups, item)
        parameters = [group for group in hits if group.role == "parameters"]
        numbers.update(group.group for group in parameters or hits)
    return Matched(", ".join(wanted), tuple(group for group in groups if group.group in numbers))


def match_steps(records: Records, start: int | None, stop: int | None) -> Span:
    """Return the steps ``start`` to ``stop``, both included; all recorded ones by default.

    Raises:
        QueryError: Q111 where nothing was booked, Q106 where a bound is outside the run.
    """
    span = records.span
    if span is None:
        raise QueryError(
            "Q111",
            observed="no row in steps",
            expected="at least one booked step",
            where=str(records.path),
            hint="ask again after the first segment is sealed",
        )
    low, high = span
    first = low if start is None else int(start)
    last = high if stop is None else int(stop)
    if not low <= first <= last <= high:
        raise QueryError(
            "Q106",
            observed=f"{first} to {last}",
            expected=f"start <= stop within {low} to {high}",
            where=str(records.path),
        )
    return Span(first, last)


def allowed(name: str, value: str, choices: Sequence[str]) -> str:
    """Return ``value`` if it is one of ``choices``.

    Raises:
        QueryError: Q110 otherwise, with the nearest choice as hint.
    """
    if value in choices:
        return value
    raise QueryError(
        "Q110",
        observed=f"{name}={value!r}",
        expected=" | ".join(choices),
        hint=nearest(value, choices),
    )


def nearest(value: str, choices: Sequence[str]) -> str:
    """Return a hint with the names closest to ``value``; empty where none is close."""
    close = difflib.get_close_matches(value, list(choices), n=3, cutoff=0.5)
    return f"try {' or '.join(close)}" if close else ""


def _matches(group: GroupRecord, pattern: str) -> bool:
    return any(
        name == pattern or name.startswith(f"{pattern}.") or fnmatchcase(name, pattern)
        for name in (group.name, group.block)
    )


def _unknown(groups: Sequence[GroupRecord], pattern: str) -> QueryError:
    blocks = list(dict.fromkeys(group.block for group in groups))
    names = [*blocks, *(group.name for group in groups if group.name not in blocks)]
    shown = ", ".join([*blocks[:_NAMED], *(["..."] if len(blocks) > _NAMED else [])])
    return QueryError(
        "Q104",
        observed=repr(pattern),
        expected=f"a group, a block ({shown}), a prefix or a glob",
        hint=nearest(pattern, names) or "list the names with info",
    )
