"""Chapter: are the files those that were written, and which of them stand behind the figures."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradledger.errors import InputError
from gradledger.log import MANIFEST_NAME, Difference, check_manifest
from gradledger.query.relations import RELATIONS
from gradledger.report.evidence import Field, Figure, FileDigest, Grid, Section, SignedLog, Verdict
from gradledger.report.reading import Reading, counted
from gradledger.segment import cannot_read, read_json

_DOCUMENTS = ("run.json", "end.json", "profiles.json")
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Checked:
    """What the check of the manifest found.

    Attributes:
        has_manifest: Whether there is one.
        differences: Ways in which the run is not what it says.
    """

    has_manifest: bool
    differences: tuple[Difference, ...]


def check_files(reading: Reading) -> Checked:
    """Compare every file of the run with its manifest, once per report.

    Raises:
        StorageError: S113 where a file cannot be read.
    """
    root = reading.records.path
    if not (root / MANIFEST_NAME).is_file():
        return Checked(has_manifest=False, differences=())
    return Checked(has_manifest=True, differences=tuple(check_manifest(root)))


def integrity(
    reading: Reading, checked: Checked, signed_log: SignedLog | None
) -> tuple[Section, Verdict, dict[str, Figure]]:
    """Return the chapter, its verdict at the head, and its figures for the gate."""
    differences = checked.differences
    compared = counted("files", "length and SHA-256 of every file against the manifest",
                       MANIFEST_NAME, method="compared")  # fmt: skip
    figures = [
        Figure("manifest-differences", "files that differ from the manifest",
               len(differences) if checked.has_manifest else None, compared, "integer"),
        Figure("unclosed", "end records that are missing", int(reading.records.end is None),
               counted("documents", "whether an end record is there", "end.json"), "integer"),
    ]  # fmt: skip
    fields = (
        Field("place", "file"),
        Field("code", "what"),
        Field("observed", "observed"),
        Field("expected", "expected"),
    )
    rows = tuple((item.place, item.code, item.observed, item.expected) for item in differences)
    grids = [Grid("differences", "Files that differ", fields, rows)] if rows else []
    section = Section(
        "integrity",
        "Integrity of the records",
        (_log_words(signed_log), *_note(reading)),
        (*figures, *_log_figures(signed_log)),
        (),
        tuple(grids),
    )
    return section, _verdict(reading, checked), {figure.name: figure for figure in figures}


def manifest_digest(root: Path) -> str:
    """Return the SHA-256 of the manifest; empty where the run has none."""
    place = root / MANIFEST_NAME
    return _digest(place)[1] if place.is_file() else ""


def file_digests(reading: Reading, checked: Checked) -> tuple[FileDigest, ...]:
    """Return the files behind the figures with the digests of what is there, in order of place.

    A file that the check just found to be the manifest's is not read again.
    """
    root = reading.records.path
    known = _manifest_entries(root) if checked.has_manifest else {}
    for item in checked.differences:
        known.pop(item.place, None)
    paths = [root / name for name in _DOCUMENTS if (root / name).is_file()]
    paths += [file for relation in RELATIONS.values() for file in reading.records.files[relation]]
    found = []
    for path in paths:
        name = path.relative_to(root).as_posix()
        num_bytes, sha256 = known.get(name) or _digest(path)
        found.append(FileDigest(name, num_bytes, sha256))
    return tuple(sorted(found, key=lambda item: item.path))


def _verdict(reading: Reading, checked: Checked) -> Verdict:
    question = "The files are those of the run's manifest"
    if not checked.has_manifest:
        because = "The run has no manifest" + (
            "." if reading.records.end else ": it was not closed."
        )
        return Verdict("files", question, "not known", because)
    if checked.differences:
        because = f"{len(checked.differences):,} differ; the chapter on integrity names them."
        return Verdict("files", question, "no", because)
    return Verdict("files", question, "yes", "Length and SHA-256 of every file agree.")


def _log_words(signed_log: SignedLog | None) -> str:
    if signed_log is None:
        return (
            "The manifest finds accidents, and changes by someone who does not rewrite it too. "
            "This report rests on no signed log."
        )
    if signed_log.findings:
        return f"The signed log does not hold: {'; '.join(signed_log.findings)}."
    return "The signed log covers these records: nothing has changed since it was signed."


def _log_figures(signed_log: SignedLog | None) -> list[Figure]:
    if signed_log is None:
        return []
    basis = counted("text", "signed checkpoint", "log", method="verified")
    return [
        Figure("log_origin", "log", signed_log.origin, basis, "text"),
        Figure("log_size", "leaves of the log", signed_log.size, basis, "integer"),
        Figure("log_root", "root hash", signed_log.root, basis, "text"),
        Figure("log_signers", "signed by", ", ".join(signed_log.signers), basis, "text"),
    ]


def _note(reading: Reading) -> tuple[str, ...]:
    records = reading.records
    if records.end is None:
        return ("The run was not closed: figures cover what is on disk.",)
    booked = reading.volume.visits
    if booked != records.end.num_visits:
        return (
            f"The end record says {records.end.num_visits:,} visits, the tables hold {booked:,}.",
        )
    return ()


def _manifest_entries(root: Path) -> dict[str, tuple[int, str]]:
    place = root / MANIFEST_NAME
    if not place.is_file():
        return {}
    try:
        record: Any = read_json(place)
        return {
            str(item["path"]): (int(item["num_bytes"]), str(item["sha256"]))
            for item in record["files"]
        }
    except (InputError, KeyError, TypeError, ValueError):
        return {}  # The check of the manifest tells what is wrong with it.


def _digest(path: Path) -> tuple[int, str]:
    hasher, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                hasher.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise cannot_read(path, error) from error
    return size, hasher.hexdigest()
