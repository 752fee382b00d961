"""The list of what was erased, beside the runs of one folder: later admissions deny it.

The list holds neither content nor names, only keyed digests of them under a salt of its own. It
lies in the folder that the runs lie in, ``erased.json``, readable by its owner alone: whoever holds
both it and a guess can test the guess. Content matches by equal bytes; a name matches together
with its source, where it is more than a number.
"""

from __future__ import annotations

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


def erased_list(folder: Path) -> ErasedList:
    """Read the list of a folder; empty where there is none.

    Raises:
        StorageError: It cannot be read, and so nobody may say what is not on it. Code S113.
    """
    place = Path(folder) / ERASED_NAME
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
        folder: The folder that the runs lie in.
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
    place = Path(folder) / ERASED_NAME
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


def _damaged(place: Path, observed: str) -> StorageError:
    return StorageError(
        "S113",
        observed=observed,
        expected=f"a list in the form {ERASED_FORMAT}",
        where=str(place),
        hint="restore it from a copy: without it, erased examples could be admitted again",
    )
