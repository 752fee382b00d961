"""Digest of a model's folder, in the form in which OpenSSF Model Signing binds a model.

Every file has its SHA-256; the root digest is the SHA-256 of these digests, as raw bytes, in the
order of the files' paths. Git's own files are passed over; links are refused, not followed.

Source:
    OpenSSF Model Signing, predicate type model_signing/signature/v1.0, method ``files``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from gradledger.errors import LogError
from gradledger.segment import cannot_read

MODEL_SIGNING_TYPE: Final = "https://model_signing/signature/v1.0"
IGNORED: Final = (".git", ".gitattributes", ".github", ".gitignore")


@dataclass(frozen=True)
class ModelDigest:
    """Digests of a model.

    Attributes:
        name: Name of the folder.
        files: Path below the folder -> SHA-256, 64 hex digits, in the order of paths.
    """

    name: str
    files: dict[str, str]

    @property
    def root(self) -> str:
        """The root digest, 64 hex digits."""
        joined = b"".join(bytes.fromhex(digest) for digest in self.files.values())
        return hashlib.sha256(joined).hexdigest()

    def predicate(self) -> dict[str, Any]:
        """Return the predicate of that project's own statement about the model."""
        return {
            "resources": [
                {"algorithm": "sha256", "digest": digest, "name": path}
                for path, digest in self.files.items()
            ],
            "serialization": {
                "allow_symlinks": False,
                "hash_type": "sha256",
                "ignore_paths": list(IGNORED),
                "method": "files",
            },
        }


def model_digest(folder: Path) -> ModelDigest:
    """Digest the files of a model.

    Args:
        folder: The model's folder.

    Raises:
        LogError: It is no folder, holds no file, or holds a link. Code L184.
        StorageError: A file cannot be read. Code S113.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise _unfit("no folder", "the folder of a model", folder)
    found: dict[PurePosixPath, str] = {}
    for path in folder.rglob("*"):
        below = PurePosixPath(path.relative_to(folder).as_posix())
        if below.parts[0] in IGNORED:
            continue
        if path.is_symlink():
            raise _unfit(f"the link {below}", "ordinary files", folder)
        if path.is_file():
            try:
                with path.open("rb") as stream:
                    found[below] = hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError as error:
                raise cannot_read(path, error) from error
    if not found:
        raise _unfit("no file", "the files of a model", folder)
    return ModelDigest(folder.name, {str(path): found[path] for path in sorted(found)})


def _unfit(observed: str, expected: str, folder: Path) -> LogError:
    return LogError(
        "L184",
        observed=observed,
        expected=expected,
        where=str(folder),
        hint="name the folder that holds the model's files",
    )
