"""Find content among a run's commitments: examples as admitted, and rows as presented.

Commitments are keyed per source with a private salt. Without the salt of a source nobody can tell
whether content is among that source's examples, and the answer says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from gradledger.canon import keyed_commitment
from gradledger.errors import QueryError
from gradledger.query.records import Records
from gradledger.query.selection import metadata_columns

_SALTS: Final = ("private", "salts.json")
#: Source of examples whose metadata name none.
_NO_SOURCE: Final = "data"
#: Keys of the salts that are no sources.
_RESERVED: Final = "\0"


@dataclass(frozen=True)
class Found:
    """Where content was found.

    Attributes:
        examples: Examples that hold it, ascending.
        unsalted: Sources whose salts are gone: nothing can be said about their examples.
        num_uncommitted: Examples of the other sources that were not digested at admission; only
            what was presented of them was compared.
    """

    examples: tuple[int, ...]
    unsalted: tuple[str, ...]
    num_uncommitted: int


def find_content(records: Records, digests: Iterable[bytes]) -> Found:
    """Find items by their digests.

    Args:
        records: The run.
        digests: SHA-256 of each item that is looked for.

    Raises:
        QueryError: The run's salts are not there or not readable. Code Q132.
    """
    salts, sources = _salts(records), _sources(records)
    wanted = [
        keyed_commitment(salts[source], digest)
        for source in sources
        if source in salts
        for digest in digests
    ]
    unsalted = tuple(source for source in sources if source not in salts)
    rows = records.ask(
        "SELECT example FROM examples WHERE content IN (SELECT unnest(?::VARCHAR[])) "
        "UNION SELECT example FROM visits WHERE lower(hex(digest)) IN "
        "(SELECT unnest(?::VARCHAR[])) ORDER BY 1",
        [wanted, wanted],
    )
    return Found(tuple(int(row[0]) for row in rows), unsalted, _uncommitted(records, unsalted))


def keyed_values(records: Records, digests: Iterable[bytes]) -> dict[str, list[bytes]]:
    """Return the commitments that items would have, per source whose salt is there.

    Args:
        records: The run.
        digests: SHA-256 of each item.

    Raises:
        QueryError: The run's salts are not there or not readable. Code Q132.
    """
    wanted = list(digests)
    return {
        source: [bytes.fromhex(keyed_commitment(salt, digest)) for digest in wanted]
        for source, salt in _salts(records).items()
    }


def sources_of(records: Records) -> list[str]:
    """Return the sources of a run's examples."""
    return _sources(records)


def salts_of(records: Records) -> Mapping[str, bytes]:
    """Return the salt of every source that has one.

    Raises:
        QueryError: The run's salts are not there or not readable. Code Q132.
    """
    return _salts(records)


def source_of_examples(records: Records) -> dict[int, str]:
    """Return the source of every example, as its commitment is keyed."""
    if "source" not in metadata_columns(records):
        rows = records.ask("SELECT example FROM examples")
        return {int(row[0]): _NO_SOURCE for row in rows}
    rows = records.ask("SELECT example, coalesce(CAST(source AS VARCHAR), 'None') FROM examples")
    return {int(example): str(source) for example, source in rows}


def _salts(records: Records) -> Mapping[str, bytes]:
    place = records.path.joinpath(*_SALTS)
    try:
        stored = json.loads(place.read_text(encoding="utf-8"))
        return {
            source: bytes.fromhex(salt)
            for source, salt in stored.items()
            if not source.startswith(_RESERVED)
        }
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise QueryError(
            "Q132",
            observed=f"{type(error).__name__}: {error}"[:300],
            expected="the private salts that commitments are keyed with",
            where=str(place),
            hint="ask on the machine that recorded the run, or ask by key or metadata",
        ) from error


def _sources(records: Records) -> list[str]:
    if "source" not in metadata_columns(records):
        return [_NO_SOURCE]
    rows = records.ask("SELECT DISTINCT source FROM examples ORDER BY 1")
    return [str(row[0]) for row in rows]


def _uncommitted(records: Records, unsalted: tuple[str, ...]) -> int:
    condition, values = "true", []
    if unsalted and "source" in metadata_columns(records):
        condition = "coalesce(CAST(source AS VARCHAR), 'None') NOT IN (SELECT unnest(?::VARCHAR[]))"
        values = [list(unsalted)]
    rows = records.ask(
        f"SELECT count(*) FROM examples WHERE content IS NULL AND {condition}", values
    )
    return int(rows[0][0])
