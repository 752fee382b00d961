"""Key files: one secret line, for its owner's eyes only, and where to look for it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from gradledger.errors import LogError
from gradledger.log.keys import SigningKey
from gradledger.segment import cannot_read, write_bytes_atomic

#: Environment variable that holds the path of a key file; read only when signing is asked for.
KEY_VARIABLE: Final = "GRADLEDGER_KEY"

_OWNER_ONLY: Final = 0o600
_OTHERS: Final = 0o077
_MAX_FILE_BYTES: Final = 4096


def save_key(key: SigningKey, path: Path) -> None:
    """Write a key file that only its owner can read.

    Raises:
        LogError: There is a file already: a key that is lost cannot be replaced. Code L104.
        StorageError: The disk refuses. Code S112.
    """
    path = Path(path)
    if path.exists() or path.is_symlink():
        raise LogError(
            "L104",
            observed="a file",
            expected="a free name",
            where=str(path),
            hint="choose another name; to change the key of a log: gradledger key rotate",
        )
    write_bytes_atomic(path, f"{key.secret_text()}\n".encode(), mode=_OWNER_ONLY)


def load_key(path: Path) -> SigningKey:
    """Read a key file.

    Raises:
        LogError: Others may read or write it (L102), or it holds no key (L101).
        StorageError: It cannot be read. Code S113.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(_MAX_FILE_BYTES)
    except OSError as error:
        raise cannot_read(path, error) from error
    # Windows has no such bits; there the folder's own permissions must do.
    if os.name == "posix" and mode & _OTHERS:
        raise LogError(
            "L102",
            observed=f"mode {mode:04o}",
            expected=f"{_OWNER_ONLY:04o}, nothing for group and others",
            where=str(path),
            hint=f"chmod 600 {path}; if others could read it, make a new key and rotate",
        )
    return SigningKey.from_secret_text(content.decode("utf-8", "replace"), path)


def signing_key(key: SigningKey | str | Path | None) -> SigningKey | None:
    """Return the key that a caller asks to sign with.

    Args:
        key: The key or its file; None takes the file that ``GRADLEDGER_KEY`` names, where it is
            set, else nothing is signed.

    Raises:
        LogError: The file is open to others or holds no key. Codes L101 and L102.
        StorageError: The file cannot be read. Code S113.
    """
    if isinstance(key, SigningKey):
        return key
    if key is not None:
        return load_key(Path(key))
    return key_from_environment() if os.environ.get(KEY_VARIABLE) else None


def key_from_environment() -> SigningKey:
    """Read the key file that ``GRADLEDGER_KEY`` names.

    Raises:
        LogError: The variable is not set (L103); the file is open to others or holds no key (L101,
            L102).
        StorageError: The file cannot be read. Code S113.
    """
    path = os.environ.get(KEY_VARIABLE, "")
    if not path:
        raise LogError(
            "L103",
            observed=f"{KEY_VARIABLE} not set",
            expected="the path of a key file",
            where="environment",
            hint=f"set {KEY_VARIABLE}, pass a key, or record without signing",
        )
    return load_key(Path(path))
