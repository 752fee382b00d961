"""Copies of the tables of visits, sorted by example: derived, rebuildable, and never needed.

A run keeps its rows in the order of arrival, so what one example or one source did lies everywhere.
A copy sorted by example brings it together. It lies outside the run, names the files that it was
made from, and is used only for these; without it the same question takes longer. Where few rows are
added up they are put in order first, with the copy and without, so that not one bit differs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import duckdb

from gradledger.canon import record_digest

#: Relations that are copied.
COPIED: Final = ("visits", "displacement_visits", "frozen_visits", "probe_visits")

#: Name of the copies within a connection.
_SCHEMA: Final = "sorted_copies"

#: Memory for sorting; beyond it the engine writes to disk.
_BUILD_MEMORY: Final = "600MB"

Files = Mapping[str, Sequence[Path]]


def copies_name(run_id: str, files: Files) -> str:
    """Return the file name of the copies of exactly these files of this run.

    Args:
        run_id: The run.
        files: Relation -> its files.
    """
    found = []
    for relation in COPIED:
        for path in files.get(relation, ()):
            state = path.stat()
            found.append([relation, path.name, state.st_size, str(state.st_mtime_ns)])
    return f"{record_digest('sorted-copies/1', {'run': run_id, 'files': found})[:32]}.duckdb"


def write_copies(place: Path, sources: Mapping[str, str]) -> None:
    """Write the copies, whole or not at all.

    Args:
        place: The file; one that is there already is left alone.
        sources: Relation -> SQL that selects its rows.
    """
    if place.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.with_name(f"{place.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "memory_limit": _BUILD_MEMORY,
        "temp_directory": f"{unfinished}.tmp",
    }
    with duckdb.connect(str(unfinished), config=config) as connection:
        for relation, select in sources.items():
            connection.execute(
                f"CREATE TABLE {relation} AS SELECT * FROM ({select}) ORDER BY example, step"
            )
        connection.execute("CHECKPOINT")
    unfinished.replace(place)


def attach_copies(connection: duckdb.DuckDBPyConnection, place: Path) -> tuple[str, ...]:
    """Attach copies for reading and return the relations that they hold.

    Args:
        connection: Not locked yet.
        place: The file; one that cannot be read is as good as none.
    """
    if not place.is_file():
        return ()
    name = str(place).replace("'", "''")
    try:
        connection.execute(f"ATTACH '{name}' AS {_SCHEMA} (READ_ONLY)")
        rows = connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = ?", [_SCHEMA]
        ).fetchall()
    except duckdb.Error:
        return ()
    return tuple(relation for relation in COPIED if (relation,) in rows)


def copy_of(relation: str) -> str:
    """Return the name of the sorted copy of a relation within a connection."""
    return f"{_SCHEMA}.{relation}"
