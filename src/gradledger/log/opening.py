"""What must hold before a log is written again: its key, and tiles that lead to its root hash."""

from __future__ import annotations

from gradledger.canon import read_leaf
from gradledger.errors import InputError, LogError
from gradledger.log.description import LogDescription
from gradledger.log.keys import KeyKind, SigningKey, VerifierKey
from gradledger.log.reader import LogReader
from gradledger.merkle import Frontier
from gradledger.schema import KeyLeaf


def fitting_signer(signer: SigningKey | None, reader: LogReader) -> SigningKey | None:
    """Return the key under the log's origin, if it is the one that signs this log.

    Raises:
        LogError: It is another, or lacks, or the log is unsigned (L136); its signature under the
            last checkpoint does not hold (L112).
    """
    if signer is None and not reader.signed:
        return None
    if signer is None or not reader.signed or signer.kind is not KeyKind.LOG:
        observed = "no key" if signer is None else f"a key of kind {signer.kind.name.lower()}"
        raise unfit(observed, "its key" if reader.signed else "none: it is unsigned", reader.origin)
    signer = signer.named(reader.origin)
    if signer.verifier != reader.description.keys[-1]:
        raise unfit(str(signer.verifier), str(reader.description.keys[-1]), reader.origin)
    if reader.checkpoint.note is None or not reader.checkpoint.note.verify([signer.verifier]):
        raise unfit("a checkpoint that this key did not sign", "its signature", reader.origin)
    return signer


def complete_rotation(reader: LogReader) -> None:
    """Take up a key that the last checkpoint hands over to and that signed it too.

    The description is written after that checkpoint; a crash between the two is mended here.

    Raises:
        LogError: The last leaf cannot be read (L132), or a signature does not hold (L112).
        StorageError: The disk refuses. Codes S112 and S113.
    """
    head, keys = reader.checkpoint, reader.description.keys
    if not head.note or not head.size or not keys:
        return
    try:
        leaf = read_leaf(reader.leaf(head.size - 1))
    except InputError:
        return  # a leaf of another form hands over nothing; verification names it
    if isinstance(leaf, KeyLeaf) and leaf.replaces == str(keys[-1]):
        successor = VerifierKey.parse(leaf.verifier_key)
        if head.note.verify([successor]):
            reader.description = LogDescription(reader.origin, (*keys, successor))
            reader.description.write(reader.log_dir)


def restore_frontier(reader: LogReader) -> Frontier:
    """Rebuild the frontier from the partial tiles; it must lead to the checkpoint's root hash.

    Raises:
        LogError: A tile is damaged, or they lead elsewhere. Code L132.
        StorageError: A file cannot be read. Code S113.
    """
    tiles = {tile.level: tile for tile in Frontier.partial_tiles(reader.size)}
    levels = [
        reader.store.hashes(tiles[level]) if level in tiles else []
        for level in range(1 + max(tiles, default=-1))
    ]
    frontier = Frontier(reader.size, levels)
    if frontier.root() != reader.checkpoint.root:
        raise LogError(
            "L132",
            observed=f"tiles with the root hash {frontier.root().hex()}",
            expected=f"{reader.checkpoint.root.hex()}, as the checkpoint has it",
            where=str(reader.log_dir),
            hint="verify the run, and restore the log from a copy",
        )
    return frontier


def unfit(observed: str, expected: str, origin: str) -> LogError:
    """Return the error for a key and a log that do not belong together."""
    return LogError(
        "L136",
        observed=observed,
        expected=expected,
        where=origin,
        hint="open the log with the key that signs it; log.json names it",
    )
