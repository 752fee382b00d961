"""What a log says of itself: its origin and the keys that sign it. One small file.

These keys are a convenience, not an anchor: whoever rewrites a log rewrites them too. Trust comes
from a key, or from witnesses, that the reader has from elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gradledger.canon import canonical_json, parse_json
from gradledger.errors import InputError, LogError
from gradledger.log.keys import KeyKind, VerifierKey
from gradledger.log.names import check_name, first_odd
from gradledger.segment import cannot_read, write_bytes_atomic

LOG_FOLDER: Final = "log"
LOG_FORMAT: Final = "gradledger.log/1"
DESCRIPTION_NAME: Final = "log.json"


@dataclass(frozen=True)
class LogDescription:
    """Origin and keys of a log.

    Attributes:
        origin: Name of the log.
        keys: Keys that signed it, the present one last; empty where it is unsigned.
    """

    origin: str
    keys: tuple[VerifierKey, ...]

    @property
    def signed(self) -> bool:
        """Whether checkpoints of this log are signed."""
        return bool(self.keys)

    def __bytes__(self) -> bytes:
        """Return the file's content."""
        record = {
            "format": LOG_FORMAT,
            "origin": self.origin,
            "signed": self.signed,
            "verifier_keys": [str(key) for key in self.keys],
        }
        return canonical_json(record) + b"\n"

    @staticmethod
    def parse(content: bytes) -> LogDescription:
        """Read the file's content.

        Raises:
            LogError: It is not what this version writes. Code L132.
        """
        try:
            record = parse_json(content, DESCRIPTION_NAME)
            found = _from_record(record)
        except (InputError, LogError, TypeError, ValueError, KeyError) as error:
            raise _malformed(str(error).splitlines()[0][:200]) from error
        if bytes(found) != content:
            place = first_odd(bytes(found), content)
            raise _malformed(f"another spelling of the same record at byte {place}")
        return found

    def write(self, log_dir: Path) -> None:
        """Write the file.

        Raises:
            StorageError: The disk refuses. Code S112.
        """
        write_bytes_atomic(log_dir / DESCRIPTION_NAME, bytes(self))

    @staticmethod
    def read(log_dir: Path) -> LogDescription:
        """Read the file.

        Raises:
            LogError: There is no log, or its description is malformed. Code L132.
            StorageError: The file cannot be read. Code S113.
        """
        path = log_dir / DESCRIPTION_NAME
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise LogError(
                "L132",
                observed=f"no {DESCRIPTION_NAME}",
                expected="the log of a run",
                where=str(log_dir),
                hint="check the path; runs that were never logged have none",
            ) from error
        except OSError as error:
            raise cannot_read(path, error) from error
        return LogDescription.parse(content)


def _from_record(record: Any) -> LogDescription:
    if not isinstance(record, dict) or record["format"] != LOG_FORMAT:
        message = f"not a {LOG_FORMAT}"
        raise ValueError(message)
    origin, listed = record["origin"], record["verifier_keys"]
    if not isinstance(listed, list) or not all(isinstance(text, str) for text in [origin, *listed]):
        message = "an origin or keys that are no text"
        raise TypeError(message)
    check_name(origin, DESCRIPTION_NAME)
    keys = tuple(VerifierKey.parse(text) for text in listed)
    if any(key.name != origin or key.kind is not KeyKind.LOG for key in keys):
        message = "a key of another name or kind"
        raise ValueError(message)
    return LogDescription(origin, keys)


def _malformed(observed: str) -> LogError:
    return LogError(
        "L132",
        observed=observed,
        expected=f"a {LOG_FORMAT} as it was written",
        where=DESCRIPTION_NAME,
        hint="verify the run, and restore the log from a copy",
    )
