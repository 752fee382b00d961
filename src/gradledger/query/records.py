"""Open the records of a run for reading: two JSON documents and Parquet tables in DuckDB.

The connection is in memory, sees the run's directory only, loads no extension and is locked
before the first question. One thread is the default: floats are then added in the order of the
records, and the same question gives the same bits every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from gradledger.errors import QueryError
from gradledger.query.documents import read_begin, read_end, read_profiles, read_resumes
from gradledger.query.relations import RELATIONS, literal, selected, without_glob
from gradledger.query.sorted_copies import COPIED, attach_copies, copies_name, write_copies
from gradledger.schema import TABLES, Resume, RunBegin, RunEnd
from gradledger.segment import ORPHANS

#: Questions whose rows are kept while the run stands open, and rows of each, at most.
_MAX_KEPT: Final = 200
_MAX_KEPT_ROWS: Final = 5000

#: Errors that say that a query is wrong, never that a file is.
_OWN_MISTAKES = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException)


@dataclass(frozen=True)
class Records:
    """The records of one run as found when it was opened.

    Attributes:
        path: Directory of the run.
        begin: Begin record.
        end: End record; ``None`` while the run is open or where it was cut off.
        files: Parquet files per relation, in the order in which they were sealed.
        threads: Threads of the query engine.
        resumes: Resumes of the run, in order.
        tables: What queries read besides the run, by name, while it stands here.
        copies: Folder of sorted copies; None where none are wanted.
        kept: Rows of questions that many answers share, see ``ask_once``.
    """

    path: Path
    begin: RunBegin
    end: RunEnd | None
    files: dict[str, tuple[Path, ...]]
    threads: int = 1
    resumes: tuple[Resume, ...] = ()
    tables: dict[str, pa.Table] = field(default_factory=dict, compare=False, repr=False)
    copies: Path | None = None
    kept: dict[Any, list[tuple[Any, ...]]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The locked connection with one view per table."""
        return self._connected[0]

    @property
    def sorted_relations(self) -> tuple[str, ...]:
        """Relations of which a copy sorted by example is at hand."""
        return self._connected[1]

    @cached_property
    def _connected(self) -> tuple[duckdb.DuckDBPyConnection, tuple[str, ...]]:
        try:
            return _connect(self)
        except _OWN_MISTAKES:
            raise
        except duckdb.Error as error:
            raise damaged(self.path, error) from error

    @cached_property
    def columns(self) -> dict[str, dict[str, str]]:
        """SQL type of every column, per relation."""
        found: dict[str, dict[str, str]] = {}
        for relation in RELATIONS.values():
            rows = self.ask(f"DESCRIBE {relation}")
            found[relation] = {str(row[0]): str(row[1]) for row in rows}
        return found

    @cached_property
    def span(self) -> tuple[int, int] | None:
        """First and last step with books or a row in ``steps``; ``None`` where there is none."""
        row = self.ask("SELECT min(step), max(step) FROM steps")[0]
        return None if row[0] is None else (int(row[0]), int(row[1]))

    @cached_property
    def profiles(self) -> dict[str, list[float]]:
        """Depth profiles: name -> one weight per block, input to output."""
        return read_profiles(self.path, self.begin)

    def has(self, relation: str) -> bool:
        """Whether the run has any file of that table."""
        return bool(self.files[relation])

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a query.

        Args:
            sql: Template whose identifiers come from known columns and integers only.
            values: What the user gave, bound as parameters.

        Raises:
            QueryError: Q102 where a table cannot be read.
        """
        try:
            cursor = self.connection.cursor()
            for name, rows in self.tables.items():
                cursor.register(name, rows)
            return cursor.execute(sql, list(values)).fetchall()
        except _OWN_MISTAKES:
            raise
        except duckdb.Error as error:
            raise damaged(self.path, error) from error

    def ask_once(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a query that many answers share; do not change them.

        Records stay as they are while they stand open, so its rows are read once.

        Args:
            sql: As for ``ask``.
            values: As for ``ask``.

        Raises:
            QueryError: Q102 where a table cannot be read.
        """
        key = (sql, tuple(values))
        found = self.kept.get(key)
        if found is None:
            found = self.ask(sql, values)
            if len(self.kept) >= _MAX_KEPT:
                self.kept.clear()
            if len(found) <= _MAX_KEPT_ROWS:
                self.kept[key] = found
        return found

    def close(self) -> None:
        """Close the connection; nothing on disk changes."""
        if "_connected" in self.__dict__:
            self.connection.close()


def open_records(
    path: str | Path, *, threads: int = 1, copies: str | Path | None = None
) -> Records:
    """Open a run for reading.

    Args:
        path: Directory that ``gl.record`` wrote.
        threads: Threads of the query engine; with more than one the last bit of a sum may differ
            between two calls.
        copies: Folder of sorted copies, see ``write_sorted_copies``; they change the speed only.

    Raises:
        QueryError: Q101 no run there, Q102 damaged, Q103 format not known.
    """
    root = Path(path).expanduser()
    begin = read_begin(root)
    end = read_end(root)
    # Absolute: the engine compares file names with the one directory that it may read.
    root = root.resolve()
    resumes = read_resumes(root)
    # A resume that was itself cut off has not moved every file that it lists.
    cut_off = {
        root / name
        for resume in resumes
        for name in resume.moved
        if not (root / ORPHANS / f"resume-{resume.resume:04d}" / name).exists()
    }
    files = {
        relation: tuple(
            path for path in sorted((root / folder).glob("part-*.parquet")) if path not in cut_off
        )
        for folder, relation in RELATIONS.items()
    }
    return Records(
        path=root,
        begin=begin,
        end=end,
        files=files,
        threads=max(1, int(threads)),
        resumes=resumes,
        copies=None if copies is None else Path(copies).resolve(),
    )


def damaged(path: Path, error: Exception) -> QueryError:
    """Return the error for tables that the engine cannot read."""
    return QueryError(
        "Q102",
        observed=str(error).strip().splitlines()[0][:300],
        expected="tables that can be read",
        where=str(path),
        hint="restore the run from a copy",
    )


def write_sorted_copies(records: Records) -> Path:
    """Write copies of the tables of visits, sorted by example, and return their file.

    Args:
        records: The run, opened with a folder for copies.

    Raises:
        QueryError: Q110 without such a folder.
    """
    if records.copies is None:
        raise QueryError("Q110", observed="no folder for copies", expected="copies=FOLDER")
    place = records.copies / copies_name(records.begin.run_id, records.files)
    folders = {relation: folder for folder, relation in RELATIONS.items()}
    sources = {
        relation: selected(folders[relation], records.files[relation])
        for relation in COPIED
        if records.files[relation]
    }
    write_copies(place, sources)
    return place


def _connect(records: Records) -> tuple[duckdb.DuckDBPyConnection, tuple[str, ...]]:
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": records.threads,
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        },
    )
    connection.execute("SET parquet_metadata_cache=true")
    sorted_relations: tuple[str, ...] = ()
    if records.copies is not None:
        place = records.copies / copies_name(records.begin.run_id, records.files)
        sorted_relations = attach_copies(connection, place)
    connection.execute("SET preserve_insertion_order=true")
    # A name with brackets is checked as it is written in the query, then as it is on disk.
    folders = {f"{records.path}/", f"{without_glob(str(records.path))}/"}
    allowed = ", ".join(literal(folder) for folder in sorted(folders))
    connection.execute(f"SET allowed_directories=[{allowed}]")
    connection.execute("SET enable_external_access=false")
    connection.execute("SET lock_configuration=true")
    for folder, relation in RELATIONS.items():
        connection.execute(f"CREATE VIEW {relation} AS {selected(folder, records.files[relation])}")
    _check_columns(records, connection)
    return connection, sorted_relations


def _check_columns(records: Records, connection: duckdb.DuckDBPyConnection) -> None:
    """Every table must have its fixed columns; then a query that fails is our own mistake."""
    for folder, relation in RELATIONS.items():
        present = {row[0] for row in connection.execute(f"DESCRIBE {relation}").fetchall()}
        if missing := [name for name in TABLES[folder] if name not in present]:
            raise QueryError(
                "Q102",
                observed=f"no column {missing[0]!r} in {folder}",
                expected=f"columns {', '.join(TABLES[folder])}",
                where=str(records.path),
                hint="restore the run from a copy",
            )
