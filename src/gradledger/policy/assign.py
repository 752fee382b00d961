"""Which depth profile an admitted example gets, by content class and band.

A row that names class and band goes before a row that names one of them, which goes before the
default. Where a row by class and a row by band meet without a row for the two, and disagree, the
policy is refused instead of guessed.

Not knowing must never reach deeper than knowing. Where the class or band of an example is unknown
and the rows it might belong to disagree, it gets ``least``: in every block the smallest weight of
all profiles in the table. Any of these rows would give it at least as much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gradledger.errors import PolicyError
from gradledger.policy.document import Document, Path
from gradledger.policy.model import AssignRow, AssignSpec
from gradledger.policy.problems import Problems
from gradledger.policy.profile import FULL, LEAST, Profile, least_of

#: Label of examples whose class or band is not known.
UNKNOWN_LABEL: Final = "unknown"
_DEFAULT: Final = (None, None)

Cell = tuple[str | None, str | None]


@dataclass(frozen=True)
class Assignment:
    """The table, complete.

    Attributes:
        by: (class, band) -> name of a profile; None stands for a class or band that is not known,
            and for all examples where the policy declares none.
        least: The profile ``least`` of this table.
    """

    by: Mapping[Cell, str]
    least: Profile


def read_assignment(
    document: Document,
    spec: AssignSpec,
    classes: Sequence[str],
    bands: Sequence[str],
    profiles: Mapping[str, Profile],
    problems: Problems,
) -> Assignment:
    """Return the table of a policy.

    Args:
        document: Where it stands.
        spec: Its fields.
        classes: Declared content classes.
        bands: Declared bands.
        profiles: Declared profiles.
        problems: What to do with a mistake.

    Raises:
        PolicyError: P115 a row twice, P117 names that are not declared, P118 rows that disagree.
    """
    default = FULL
    with problems.part():
        _declared(document, ("assign", "default"), "profile", [spec.default], profiles)
        default = spec.default
    rows: dict[Cell, str] = {_DEFAULT: default}
    places: dict[Cell, Path] = {}
    for number, row in enumerate(spec.by):
        path: Path = ("assign", "by", number)
        with problems.part():
            for cell in _cells(document, row, path, classes, bands, profiles):
                if cell in places or cell == _DEFAULT:
                    raise _repeated(document, path, cell)
                rows[cell], places[cell] = row.profile, path
    table: dict[Cell, str] = {}
    for name in classes or (None,):
        for band in bands or (None,):
            table[name, band] = default
            with problems.part():
                table[name, band] = _chosen(document, rows, places, name, band)
    by = {
        (name, band): _agreed(table, name, band)
        for name in (*classes, None)
        for band in (*bands, None)
    }
    return Assignment(by, least_of(profiles[name] for name in dict.fromkeys(table.values())))


def _agreed(table: Mapping[Cell, str], name: str | None, band: str | None) -> str:
    """Return the profile of all cells that an example might belong to, or ``least``."""
    found = {
        profile
        for cell, profile in table.items()
        if name in {None, cell[0]} and band in {None, cell[1]}
    }
    return found.pop() if len(found) == 1 else LEAST


def _cells(
    document: Document,
    row: AssignRow,
    path: Path,
    classes: Sequence[str],
    bands: Sequence[str],
    profiles: Mapping[str, Profile],
) -> list[Cell]:
    """Return the cells that a row fills; all its names are declared."""
    named = {"class": row.content_class, "band": row.band}
    lists: dict[str, Sequence[str | None]] = {}
    for field, allowed in (("class", classes), ("band", bands)):
        value = named[field]
        names = [value] if isinstance(value, str) else value or []
        _declared(document, (*path, field), field, names, allowed)
        lists[field] = names or (None,)
    _declared(document, (*path, "profile"), "profile", [row.profile], profiles)
    return [(name, band) for name in lists["class"] for band in lists["band"]]


def _repeated(document: Document, path: Path, cell: Cell) -> PolicyError:
    return PolicyError(
        "P115",
        observed="a row without class and band" if cell == _DEFAULT else f"{_said(cell)} twice",
        expected="one row per class, band or pair; the rest is the default",
        where=document.where(path),
    )


def _chosen(
    document: Document,
    rows: Mapping[Cell, str],
    places: Mapping[Cell, Path],
    name: str | None,
    band: str | None,
) -> str:
    if (name, band) in rows:
        return rows[name, band]
    by_class = rows.get((name, None)) if name is not None else None
    by_band = rows.get((None, band)) if band is not None else None
    if by_class is not None and by_band is not None and by_class != by_band:
        raise PolicyError(
            "P118",
            observed=f"{by_class!r} by {_said((name, None))} and {by_band!r} by "
            f"{_said((None, band))}",
            expected="one profile for each class and band",
            where=document.where(max(places[name, None], places[None, band])),
            hint=f"add a row for {_said((name, band))}",
        )
    return by_class or by_band or rows[_DEFAULT]


def _declared(
    document: Document,
    path: Path,
    what: str,
    names: Sequence[str],
    allowed: Sequence[str] | Mapping[str, Profile],
) -> None:
    for name in names:
        if name not in allowed:
            expected = f"one of {', '.join(allowed)}" if allowed else f"no {what}: none is declared"
            raise PolicyError(
                "P117",
                observed=f"the {what} {name!r}",
                expected=expected,
                where=document.where(path),
            )


def _said(cell: Cell) -> str:
    name, band = cell
    parts = [f"class {name}" if name else "", f"band {band}" if band else ""]
    return " and ".join(part for part in parts if part)
