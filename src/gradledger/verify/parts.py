"""Parts of a verification that need nothing from each other: asked and answered in plain values.

A part is a request that JSON can carry, and so is its answer; whoever does it, this process or
another, does the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gradledger.canon import leaf_bytes, read_leaf
from gradledger.errors import GradledgerError
from gradledger.schema import Leaf
from gradledger.verify.files import CheckedFiles, check_leaf
from gradledger.verify.finding import Finding
from gradledger.verify.model_states import StateDigest, digest_state


@dataclass(frozen=True)
class Part:
    """One part.

    Attributes:
        what: Its name in a few words.
        request: What is asked.
        num_bytes: Bytes of files that are read for it.
    """

    what: str
    request: Mapping[str, Any]
    num_bytes: int = 0


def files_part(
    run_dir: Path,
    leaf: Leaf,
    index: int,
    places: Mapping[str, str],
    erased: Collection[str] = frozenset(),
) -> Part:
    """Return the check of the files of a leaf; see ``check_leaf``."""
    request = {
        "part": "files",
        "run": str(run_dir),
        "leaf": leaf_bytes(leaf).decode(),
        "index": index,
        "places": dict(places),
        "erased": sorted(erased),
    }
    return Part(f"leaf {index}", request, sum(file.num_bytes for file in leaf.files))


def state_part(path: Path, step: int) -> Part:
    """Return the digest of the weights in a stored state; see ``digest_state``."""
    size = path.stat().st_size if path.is_file() else 0
    return Part(f"model state after step {step}", {"part": "state", "path": str(path)}, size)


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Do a part; an error comes back as its own parts."""
    try:
        return _PARTS[request["part"]](request)
    except GradledgerError as error:
        return {"error": error.to_dict()}


def checked_files(answered: Mapping[str, Any]) -> CheckedFiles:
    """Return the answer to ``files_part``.

    Raises:
        StorageError: A file could not be read. Code S113.
    """
    _raise(answered)
    findings = [Finding(*parts) for parts in answered["findings"]]
    digests = {place: (said[0], said[1]) for place, said in answered["digests"].items()}
    return CheckedFiles(findings, digests)


def state_digest(answered: Mapping[str, Any]) -> StateDigest:
    """Return the answer to ``state_part``."""
    _raise(answered)
    return StateDigest(answered["digest"], answered["problem"])


def _files(request: Mapping[str, Any]) -> dict[str, Any]:
    leaf = read_leaf(request["leaf"].encode())
    found = check_leaf(
        Path(request["run"]), leaf, request["index"], request["places"], set(request["erased"])
    )
    return {
        "findings": [[f.code, f.place, f.observed, f.expected] for f in found.findings],
        "digests": found.digests,
    }


def _state(request: Mapping[str, Any]) -> dict[str, Any]:
    found = digest_state(Path(request["path"]))
    return {"digest": found.digest, "problem": found.problem}


_PARTS: Final[dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    "files": _files,
    "state": _state,
}


def _raise(answered: Mapping[str, Any]) -> None:
    said = answered.get("error")
    if said is None:
        return
    kinds = GradledgerError.__subclasses__()
    kind = next((kind for kind in kinds if kind.prefix == said["code"][:1]), GradledgerError)
    parts = {name: said[name] for name in ("observed", "expected", "where", "hint")}
    raise kind(said["code"], **parts)
