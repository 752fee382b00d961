"""The files that leaves commit to: digests, rows, commitments, and segments that no leaf names."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from gradledger.canon import ROW_FORMAT
from gradledger.errors import GradledgerError, LogError
from gradledger.log import hash_segment, list_files, place_before, read_commitments
from gradledger.merkle import leaf_hash, root_hash
from gradledger.schema import (
    TABLES,
    THINNED,
    CommitmentsLeaf,
    ErasureLeaf,
    FileDigest,
    Leaf,
    ResumeLeaf,
    RunEndLeaf,
    SegmentLeaf,
    StateLeaf,
)
from gradledger.segment import cannot_read, orphan_folders, segment_files
from gradledger.verify.finding import Finding
from gradledger.verify.locate import locate_change
from gradledger.verify.recorded import Scope

_ALL: Final = Scope()


@dataclass(frozen=True)
class CheckedFiles:
    """What was found about the files of one leaf.

    Attributes:
        findings: What is wrong with them.
        digests: Place -> length and SHA-256 of those that are as the leaf says.
    """

    findings: list[Finding]
    digests: dict[str, tuple[int, str]]


def logged_files(
    leaves: Sequence[Leaf | None], scope: Scope = _ALL
) -> list[tuple[int, Leaf, dict[str, str]]]:
    """Return index, leaf, and where each of its files lies now; without segments out of scope."""
    places, _ = _places(leaves)
    return [
        (index, leaf, places[index])
        for index, leaf in enumerate(leaves)
        if leaf is not None
        and (not isinstance(leaf, SegmentLeaf) or scope.covers(leaf.min_step, leaf.max_step))
    ]


def check_leaf(
    run_dir: Path,
    leaf: Leaf,
    index: int,
    places: Mapping[str, str],
    erased: Collection[str] = frozenset(),
) -> CheckedFiles:
    """Check every file that a leaf commits to.

    Args:
        run_dir: The run.
        leaf: The leaf.
        index: Its index.
        places: Where each of its files lies now; empty for those that were thinned.
        erased: Files and folders of states that erasures removed.

    Raises:
        StorageError: A file cannot be read. Code S113.
    """
    found = CheckedFiles([], {})
    if isinstance(leaf, StateLeaf) and "" in places.values():
        where = f"states/step={leaf.step}"
        found.findings.append(Finding("V909", where, "thinned", "nothing: its leaf says so"))
        return found
    sound = True
    for file in leaf.files:
        place = places[file.path]
        if erased and not (run_dir / place).exists() and _lies_in(place, erased):
            gone = Finding("V910", place, "removed by an erasure", "a leaf of it, which is there")
            found.findings.append(gone)
            continue
        wrong = _check_file(run_dir, file, place, index)
        if wrong is None:
            found.digests[place] = _said(file)
            continue
        sound &= wrong.is_notice
        found.findings.append(wrong)
        if wrong.code == "V302":
            found.findings.extend(locate_change(run_dir, file, place))
    if sound and isinstance(leaf, SegmentLeaf):
        found.findings.extend(_check_segment(run_dir, leaf, index, places))
    elif sound and isinstance(leaf, CommitmentsLeaf):
        found.findings.extend(_check_commitments(run_dir, leaf, index, places))
    return found


def check_names(run_dir: Path, leaves: Sequence[Leaf | None]) -> list[Finding]:
    """Look for files that two leaves name, and for those that none does.

    Raises:
        StorageError: A folder cannot be read. Code S113.
    """
    places, findings = _places(leaves)
    named = {path for file_places in places for path in file_places.values()}
    segments = {
        path.relative_to(run_dir).as_posix()
        for table in TABLES
        for path in segment_files(run_dir, table)
    }
    for name in sorted(segments - named):
        findings.append(Finding("V304", name, "a segment", "one that a leaf commits to"))
    if any(isinstance(leaf, RunEndLeaf) for leaf in leaves):
        rest = {path for path, _ in list_files(run_dir)} - named - segments
        for name in sorted(rest):
            findings.append(Finding("V307", name, "a file", "one that a leaf names"))
    return findings


def _places(leaves: Sequence[Leaf | None]) -> tuple[list[dict[str, str]], list[Finding]]:
    """Return, for every leaf, where each of its files lies now.

    What a resume set aside lies among the orphans, where the leaf of the resume names it; its old
    place is free from then on. What was thinned lies nowhere: its place is empty.
    """
    places: list[dict[str, str]] = [{} for _ in leaves]
    findings, owners = [], dict[str, int]()
    for index, leaf in enumerate(leaves):
        for file in leaf.files if leaf else ():
            if file.path in owners:
                other = f"also in leaf {owners[file.path]}"
                findings.append(Finding("V203", file.path, other, f"leaf {index} alone"))
            owners.setdefault(file.path, index)
            places[index][file.path] = file.path
            before = place_before(file.path) if isinstance(leaf, ResumeLeaf) else ""
            if before in owners:
                places[owners.pop(before)][before] = file.path
        if isinstance(leaf, ErasureLeaf) and leaf.what == THINNED:
            for path in [path for path in owners if path.startswith(f"{leaf.scope}/")]:
                places[owners.pop(path)][path] = ""
    return places, findings


def erased_places(leaves: Sequence[Leaf | None]) -> frozenset[str]:
    """Return the files and folders of states that erasures removed, as the log says."""
    return frozenset(
        leaf.scope for leaf in leaves if isinstance(leaf, ErasureLeaf) and leaf.what == "state"
    )


def _check_file(run_dir: Path, file: FileDigest, place: str, index: int) -> Finding | None:
    parts = PurePosixPath(file.path).parts
    if not parts or ".." in parts or file.path.startswith("/") or "\0" in file.path:
        return Finding("V201", f"leaf {index}", f"the path {file.path!r}", "a path below the run")
    path = run_dir / place
    if path.is_symlink() or not path.is_file():
        aside = [
            folder / file.path
            for folder in orphan_folders(run_dir).values()
            if (folder / file.path).is_file()
        ]
        if place == file.path and any(_digest(path) == _said(file) for path in aside):
            return Finding("V906", file.path, "set aside", "a leaf of the resume that did so")
        return Finding("V301", file.path, "no ordinary file", f"as leaf {index} says")
    found = _digest(path)
    if found != _said(file):
        observed = f"{found[0]} bytes, SHA-256 {found[1]}"
        expected = f"{file.num_bytes} bytes, {file.sha256}, as leaf {index} says"
        return Finding("V302", place, observed, expected)
    return None


def _lies_in(place: str, erased: Collection[str]) -> bool:
    """Whether a file is one of those that were erased, or in a folder of theirs."""
    return place in erased or any(str(parent) in erased for parent in PurePosixPath(place).parents)


def _said(file: FileDigest) -> tuple[int, str]:
    return file.num_bytes, file.sha256


def _digest(path: Path) -> tuple[int, str]:
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256")
            return stream.tell(), digest.hexdigest()
    except OSError as error:
        raise cannot_read(path, error) from error


def _check_segment(
    run_dir: Path, leaf: SegmentLeaf, index: int, places: Mapping[str, str]
) -> Iterator[Finding]:
    if len(leaf.files) != 1 or leaf.row_format != ROW_FORMAT:
        observed = f"{len(leaf.files)} files, rows in {leaf.row_format!r:.60}"
        yield Finding("V201", f"leaf {index}", observed, f"one file, rows in {ROW_FORMAT}")
        return
    name = leaf.files[0].path
    try:
        path = run_dir / places[name]
        if not path.is_file():
            return  # set aside by a resume that was cut off, which its file says
        rows = hash_segment(path)
    except GradledgerError as error:
        yield Finding("V303", name, error.observed, "rows that can be read")
        return
    found = {
        "table": name.rpartition("/")[0],
        "num_rows": rows.num_rows,
        "min_step": rows.min_step,
        "max_step": rows.max_step,
        "row_bytes": rows.layout.row_bytes,
        "columns_sha256": rows.layout.columns_sha256,
        "inner_root": rows.inner_root.hex(),
    }
    for field, value in found.items():
        if value != getattr(leaf, field):
            expected = f"{getattr(leaf, field)}, as leaf {index} says"
            yield Finding("V303", name, f"{field} {value}", expected)


def _check_commitments(
    run_dir: Path, leaf: CommitmentsLeaf, index: int, places: Mapping[str, str]
) -> Iterator[Finding]:
    for file in leaf.files:
        try:
            values = read_commitments(run_dir / places[file.path])
        except LogError as error:
            yield Finding("V305", file.path, error.observed, error.expected)
            continue
        root = root_hash(map(leaf_hash, values)).hex()
        if (len(values), root) != (leaf.num_values, leaf.sorted_root):
            expected = f"{leaf.num_values}, root {leaf.sorted_root}, as leaf {index} says"
            yield Finding("V305", file.path, f"{len(values)} values, root {root}", expected)
