"""The corpus of the demo: a sample of source files that shows every kind of licence evidence.

The sample depends on the wheels and the size alone. Within a package, files are sorted by their
content digest, never by their name, and taken in turn from every kind of evidence (vendored or not,
with a header or not, test or not, each band of complexity), up to a cap per package. Packages then
take turns, so a caller may stop anywhere in the list without favouring one of them.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from gradledger.demo.fetch import missing_wheels
from gradledger.demo.manifest import WheelPin, read_manifest
from gradledger.demo.sizes import WINDOW_TOKENS, CorpusSize, corpus_size
from gradledger.demo.source import SourceFile, source_files
from gradledger.demo.wheels import read_wheel
from gradledger.errors import StorageError

__all__ = [
    "Corpus",
    "build_corpus",
    "interleave",
    "mark_duplicates",
    "originals_of",
    "sample_package",
]

#: Files below this length hold less than one window; files above it are data rather than code.
MIN_FILE_BYTES: Final = 512
MAX_FILE_BYTES: Final = 256 << 10
#: Bytes that a window is reckoned at when the cap of a package is filled.
_BYTES_PER_WINDOW: Final = 3 * WINDOW_TOKENS

Item = TypeVar("Item")


@dataclass(frozen=True)
class Corpus:
    """A sample of source files, in the order in which they are to be used.

    Attributes:
        size: The size that was asked for.
        files: The sample.
        wheels: File name and SHA-256 of every wheel read.
        num_found: Python files in all wheels.
        num_eligible: Those of a fitting length, in UTF-8.
        held_out: Files beyond the caps, for probes: no copies, no tests, nothing vendored.
    """

    size: CorpusSize
    files: tuple[SourceFile, ...]
    wheels: tuple[tuple[str, str], ...]
    num_found: int
    num_eligible: int
    held_out: tuple[SourceFile, ...] = ()


def build_corpus(
    cache: Path, size: str | CorpusSize, pins: Sequence[WheelPin] | None = None
) -> Corpus:
    """Read the wheels of the cache and sample their files.

    Args:
        cache: Folder of wheels.
        size: Name of a size, or a size of one's own.
        pins: Wheels to read; by default those of the manifest.

    Returns:
        The sample; the same for the same wheels and size.

    Raises:
        StorageError: S153 if the cache lacks a wheel.
        InputError: I104 for an unknown size; I152, I153 if a wheel is not what it should be.
    """
    size = corpus_size(size) if isinstance(size, str) else size
    pins = read_manifest() if pins is None else tuple(pins)
    if missing := missing_wheels(cache, pins):
        raise StorageError(
            "S153",
            observed=f"{len(missing)} of {len(pins)} missing, first {missing[0].filename}",
            expected="every wheel of the manifest, with its digest",
            where=str(cache),
            hint=f"run: python -m gradledger.demo.fetch --cache {cache}",
        )
    num_found = 0
    found: list[list[SourceFile]] = []
    for pin in pins:
        wheel = read_wheel(cache / pin.filename, sha256=pin.sha256)
        num_found += len(wheel.files)
        found.append(list(source_files(wheel, min_bytes=MIN_FILE_BYTES, max_bytes=MAX_FILE_BYTES)))
    originals = originals_of(file for files in found for file in files)
    marked = [mark_duplicates(files, originals) for files in found]
    packages = [sample_package(files, size) for files in marked]
    sampled = {file.sha256 for files in packages for file in files}
    return Corpus(
        size=size,
        files=tuple(interleave(packages)),
        wheels=tuple((pin.filename, pin.sha256) for pin in pins),
        num_found=num_found,
        num_eligible=sum(map(len, found)),
        held_out=tuple(interleave([_left_out(files, sampled) for files in marked])),
    )


def _left_out(files: Iterable[SourceFile], sampled: Container[str]) -> list[SourceFile]:
    """Return what may be held out of one package, in the order of content digests."""
    kept = [
        file
        for file in files
        if file.sha256 not in sampled
        and file.duplicate_of is None
        and not file.vendored
        and not file.is_test
    ]
    return sorted(kept, key=lambda file: (file.sha256, file.path))


def sample_package(files: Iterable[SourceFile], size: CorpusSize) -> list[SourceFile]:
    """Sample the files of one package, up to the cap of the size.

    Args:
        files: Files of the package, in any order.
        size: Gives the cap and the windows per file.

    Returns:
        The sample; kinds of evidence take turns, within a kind the content digest decides.
    """
    kinds: dict[tuple[object, ...], list[SourceFile]] = {}
    for file in sorted(files, key=lambda file: (file.sha256, file.path)):
        kinds.setdefault(_kind(file), []).append(file)
    taken: list[SourceFile] = []
    budget = size.bytes_per_package
    for file in interleave([kinds[kind] for kind in sorted(kinds)]):
        if budget <= 0:
            break
        taken.append(file)
        budget -= min(file.num_bytes, size.windows_per_file * _BYTES_PER_WINDOW)
    return taken


def _kind(file: SourceFile) -> tuple[object, ...]:
    """What a policy could tell apart about files of one package."""
    return (
        file.vendored,
        file.file_license or "",
        file.is_test,
        file.duplicate_of is not None,
        int(file.band),
    )


def interleave(lists: Sequence[Sequence[Item]]) -> Iterator[Item]:
    """Yield the first item of every list, then the second of every list, and so on."""
    for turn in range(max(map(len, lists), default=0)):
        for items in lists:
            if turn < len(items):
                yield items[turn]


def originals_of(files: Iterable[SourceFile]) -> dict[str, SourceFile]:
    """Content digest -> the file that counts as its original; vendored copies come last."""
    originals: dict[str, SourceFile] = {}
    for file in sorted(files, key=lambda file: (file.vendored, file.key)):
        originals.setdefault(file.sha256, file)
    return originals


def mark_duplicates(
    files: Iterable[SourceFile], originals: dict[str, SourceFile]
) -> list[SourceFile]:
    """Return the files with ``duplicate_of`` set on every copy that is not the original.

    Args:
        files: Files to mark.
        originals: Content digest -> original file.
    """
    return [
        file
        if originals[file.sha256].key == file.key
        else replace(file, duplicate_of=originals[file.sha256].key)
        for file in files
    ]
