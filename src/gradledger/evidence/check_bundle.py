"""Check a bundle: its list of files, the receipt, and that all else agrees with the receipt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gradledger.errors import GradledgerError, InputError, LogError
from gradledger.evidence.bundle import (
    INDEX_NAME,
    RECEIPT_NAME,
    TEXT_NAME,
    BundleIndex,
    head_name,
    leaf_files,
    policy_names,
)
from gradledger.evidence.check_receipt import check_receipt
from gradledger.evidence.receipt import EvidenceReceipt
from gradledger.evidence.text import bundle_text, selection_of
from gradledger.log import (
    DESCRIPTION_NAME,
    LogDescription,
    QuorumPolicy,
    VerifierKey,
    check_tile_files,
)
from gradledger.verify import Finding

_TILES = "log/tile/"
_DESCRIPTION = f"log/{DESCRIPTION_NAME}"


def check_bundle(
    files: Mapping[str, bytes],
    trusted: Sequence[VerifierKey] = (),
    quorum: QuorumPolicy | None = None,
) -> tuple[EvidenceReceipt | None, list[Finding]]:
    """Check the files of a bundle.

    Args:
        files: Name -> content.
        trusted: Keys of the log, from elsewhere.
        quorum: Which witnesses must have cosigned.

    Returns:
        The receipt in it, None where it cannot be read; and all findings and notices.
    """
    findings = list(_check_index(files))
    try:
        receipt = EvidenceReceipt.parse(files.get(RECEIPT_NAME, b""))
    except LogError as error:
        return None, [*findings, Finding("V851", RECEIPT_NAME, error.observed, error.expected)]
    findings += check_receipt(receipt, trusted, quorum, RECEIPT_NAME)
    findings += _check_files(files, receipt)
    findings += _check_description(files, receipt)
    findings += _check_tiles(files, receipt)
    return receipt, findings


def _check_index(files: Mapping[str, bytes]) -> Iterator[Finding]:
    try:
        index = BundleIndex.parse(files.get(INDEX_NAME, b""))
    except LogError as error:
        yield Finding("V851", INDEX_NAME, error.observed, error.expected)
        return
    found = BundleIndex.of(dict(files)).files
    for name in sorted(index.files.keys() | found.keys()):
        if index.files.get(name) != found.get(name):
            expected = "as the list says" if name in index.files else "no file of this name"
            observed = "another content" if name in found else "no file"
            yield Finding("V857", name, observed, expected)


def _check_files(files: Mapping[str, bytes], receipt: EvidenceReceipt) -> Iterator[Finding]:
    """Compare every file that repeats something with the receipt, and look for any other."""
    head = receipt.checkpoint
    wanted: dict[str, bytes] = {head_name(signed=head.signed): bytes(head), **leaf_files(receipt)}
    try:
        policies = policy_names(receipt)
    except InputError:
        policies = {}  # found as a leaf that is malformed
    sizes = BundleIndex.of(dict(files)).files
    for name, content in wanted.items():
        if files.get(name) != content:
            yield Finding("V857", name, _seen(files, name), "what the receipt holds")
    for name, about in policies.items():
        if sizes.get(name) != about:
            yield Finding("V857", name, _seen(files, name), f"SHA-256 {about[1]}, as its leaf says")
    known = {INDEX_NAME, RECEIPT_NAME, TEXT_NAME, _DESCRIPTION, *wanted, *policies}
    for name in sorted(files.keys() - known):
        if not name.startswith(_TILES):
            yield Finding("V857", name, "a file", "none of this name")
    for name in sorted({TEXT_NAME, _DESCRIPTION} - files.keys()):
        yield Finding("V857", name, "no file", "a file of every bundle")
    if TEXT_NAME in files and not _is_own_text(files[TEXT_NAME], receipt):
        yield Finding("V911", TEXT_NAME, "other words", "what this version writes of the receipt")


def _is_own_text(content: bytes, receipt: EvidenceReceipt) -> bool:
    """Whether a bundle's text is what the receipt gives, but for the words of who asked for it."""
    text = content.decode("utf-8", "replace")
    selection = selection_of(text)
    return selection is not None and text == bundle_text(receipt, selection, receipt.verifier_keys)


def _check_description(files: Mapping[str, bytes], receipt: EvidenceReceipt) -> Iterator[Finding]:
    if _DESCRIPTION not in files:
        return
    try:
        found = LogDescription.parse(files[_DESCRIPTION])
    except GradledgerError as error:
        yield Finding("V851", _DESCRIPTION, error.observed, error.expected)
        return
    head = receipt.checkpoint
    if (found.origin, found.keys) != (head.origin, receipt.verifier_keys):
        yield Finding("V857", _DESCRIPTION, found.origin, f"{head.origin} and its keys")


def _check_tiles(files: Mapping[str, bytes], receipt: EvidenceReceipt) -> Iterator[Finding]:
    tiles = {
        name.removeprefix("log/"): content
        for name, content in files.items()
        if name.startswith(_TILES)
    }
    leaves = {item.receipt.index: item.leaf for item in receipt.leaves}
    objection = check_tile_files(tiles, receipt.checkpoint, leaves)
    if objection:
        yield Finding("V858", _TILES, objection, "the tiles above the leaves")


def _seen(files: Mapping[str, bytes], name: str) -> str:
    return "another content" if name in files else "no file"
