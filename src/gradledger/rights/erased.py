"""Lists of what was erased: later admissions deny it.

One lies beside the runs of a folder, ``erased.json``, and is always read. Further ones are named:
by the caller, or by the environment variable ``GRADLEDGER_ERASED``, so that every later run of a
machine or a team denies what any of its runs erased.

A list holds neither content nor names, only keyed digests of them under a salt of its own. It is
readable by its owner alone: whoever holds both it and a guess can test the guess. Content matches
by equal bytes; a name matches together with its source, where it is more than a number.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from gradledger.canon import keyed_commitment
from gradledger.errors import GradledgerError, StorageError
from gradledger.segment import read_json, write_json

ERASED_NAME: Final = "erased.json"
ERASED_FORMAT: Final = "gradledger.erased/1"
#: Names further lists, with the separator of paths between several.
ERASED_VARIABLE: Final = "GRADLEDGER_ERASED"
#: Metadata columns whose texts name one example.
NAMED_BY: Final[tuple[str, ...]] = ("key", "path", "url")
_OWNER_ONLY: Final = 0o600
_SALT_BYTES: Final = 32


@dataclass(frozen=True)
class Erasure:
    """One erasure on the list.

    Attributes:
        run_id: The run that it was executed on.
        erased_at: ISO 8601 UTC.
        certificate: SHA-256 of its certificate, 64 hex digits.
        contents: Keyed digests of contents.
        names: Keyed digests of names.
    """

    run_id: str
    erased_at: str
    certificate: str
    contents: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class ErasedList:
    """What must not be admitted again.

    Attributes:
        salt: Key of the digests.
        erasures: In the order in which they were executed.
    """

    salt: bytes
    erasures: tuple[Erasure, ...] = ()

    @property
    def knows_content(self) -> bool:
        """Whether any content is on the list, so that items are worth digesting."""
        return any(item.contents for item in self.erasures)

    def match(self, content: bytes | None, row: Mapping[str, Any]) -> Erasure | None:
        """Return the erasure that an item falls under; None where it may be admitted.

        Args:
            content: SHA-256 of the item; None where it was not taken.
            row: Its metadata.
        """
        if not self.erasures:
            return None
        key = keyed_commitment(self.salt, b"content\0" + content) if content else ""
        names = set(keyed_names(self.salt, row))
        for item in self.erasures:
            if key in item.contents or not names.isdisjoint(item.names):
                return item
        return None


@dataclass(frozen=True)
class ErasedLists:
    """Several lists, each under a salt of its own: what any of them has must not be admitted.

    Attributes:
        lists: The lists.
    """

    lists: tuple[ErasedList, ...] = ()

    @property
    def erasures(self) -> tuple[Erasure, ...]:
        """The erasures of all lists."""
        return tuple(erasure for known in self.lists for erasure in known.erasures)

    @property
    def knows_content(self) -> bool:
        """Whether any content is on a list."""
        return any(known.knows_content for known in self.lists)

    def match(self, content: bytes | None, row: Mapping[str, Any]) -> Erasure | None:
        """Return the erasure that an item falls under by any list; see ``ErasedList.match``."""
        for known in self.lists:
            if (found := known.match(content, row)) is not None:
                return found
        return None


def named_lists(named: Sequence[str | Path] = ()) -> list[Path]:
    """Return the files of lists that the caller and the environment name, each once."""
    given = os.environ.get(ERASED_VARIABLE, "").split(os.pathsep)
    return list(dict.fromkeys(Path(item) for item in (*named, *filter(None, given))))


def known_erasures(folder: Path, named: Sequence[str | Path] = ()) -> ErasedLists:
    """Read the list of a folder of runs, and every list that is named.

    Args:
        folder: The folder that the runs lie in; it may have no list yet.
        named: Files of further lists, which must be there; with those of the environment.

    Raises:
        StorageError: A list cannot be read, and so nobody may say what is not on it. Code S113.
    """
    found = [erased_list(folder)]
    for place in named_lists(named):
        if not place.is_file():
            raise StorageError(
                "S113",
                observed="no such file",
                expected="a list of what was erased, as it is named",
                where=str(place),
                hint="an empty one is "
                f'{{"format": "{ERASED_FORMAT}", "salt": "", "erasures": []}}; '
                "gradledger erase --list FILE adds to it",
            )
        found.append(erased_list(place))
    return ErasedLists(tuple(found))


def erased_list(folder: Path) -> ErasedList:
    """Read the list of a folder, or the file of a list; empty where there is none.

    Raises:
        StorageError: It cannot be read, and so nobody may say what is not on it. Code S113.
    """
    place = _place(folder)
    if not place.exists():
        return ErasedList(b"")
    try:
        record: Any = read_json(place)
        if record["format"] != ERASED_FORMAT:
            raise _damaged(place, f"format {record['format']!r:.80}")
        erasures = tuple(
            Erasure(**{**item, "contents": tuple(item["contents"]), "names": tuple(item["names"])})
            for item in record["erasures"]
        )
        return ErasedList(bytes.fromhex(record["salt"]), erasures)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(place, f"{type(error).__name__}: {error}"[:200]) from error
    except GradledgerError as error:
        raise _damaged(place, error.observed) from error


def add_erasure(
    folder: Path,
    contents: Iterable[bytes],
    rows: Sequence[Mapping[str, Any]],
    *,
    run_id: str,
    erased_at: str,
    certificate: str,
) -> Path:
    """Put what was erased on the list of a folder; the same erasure stands on it once.

    Args:
        folder: The folder that the runs lie in, or the file of a list.
        contents: SHA-256 of every erased item.
        rows: Its metadata.
        run_id: The run that it was erased from.
        erased_at: ISO 8601 UTC.
        certificate: SHA-256 of the certificate.

    Returns:
        Where the list lies.

    Raises:
        StorageError: It cannot be read or written. Codes S112 and S113.
    """
    known = erased_list(folder)
    salt = known.salt or secrets.token_bytes(_SALT_BYTES)
    made = Erasure(
        run_id,
        erased_at,
        certificate,
        tuple(sorted({keyed_commitment(salt, b"content\0" + item) for item in contents})),
        tuple(sorted({name for row in rows for name in keyed_names(salt, row)})),
    )
    kept = [item for item in known.erasures if item.certificate != certificate]
    place = _place(folder)
    record = {
        "format": ERASED_FORMAT,
        "salt": salt.hex(),
        "erasures": [asdict(item) for item in (*kept, made)],
    }
    write_json(place, record, mode=_OWNER_ONLY)
    return place


def keyed_names(salt: bytes, row: Mapping[str, Any]) -> list[str]:
    """Return the keyed digests of the names of an item, each together with its source."""
    source = str(row.get("source", ""))
    found = []
    for column in NAMED_BY:
        name = row.get(column)
        if isinstance(name, str) and name and not name.isdecimal():
            text = "\0".join(("name", source, column, name))
            found.append(keyed_commitment(salt, text.encode()))
    return found


def _place(folder: Path) -> Path:
    """Return the file of a list; a folder has it under the usual name."""
    given = Path(folder)
    return given / ERASED_NAME if given.is_dir() else given


def _damaged(place: Path, observed: str) -> StorageError:
    return StorageError(
        "S113",
        observed=observed,
        expected=f"a list in the form {ERASED_FORMAT}",
        where=str(place),
        hint="restore it from a copy: without it, erased examples could be admitted again",
    )
