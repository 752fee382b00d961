"""Who signed the checkpoints: the chain of keys, a key that the reader trusts, the witnesses."""

from __future__ import annotations

from collections.abc import Sequence

from gradledger.errors import GradledgerError, LogError
from gradledger.log import DESCRIPTION_NAME, HISTORY_FOLDER, QuorumPolicy, VerifierKey
from gradledger.schema import KeyLeaf, Leaf
from gradledger.verify.finding import Finding
from gradledger.verify.statements import Statements


def check_signatures(
    found: Statements,
    leaves: Sequence[Leaf | None],
    trusted: Sequence[VerifierKey],
    quorum: QuorumPolicy | None,
) -> list[Finding]:
    """Check the signature of every checkpoint.

    Args:
        found: The log's own statements.
        leaves: Its leaves, None where one is malformed.
        trusted: Keys that the reader has from elsewhere, under any name; the last word.
        quorum: Which witnesses must have cosigned the last checkpoint; keys of logs that it lists
            are trusted too.
    """
    trusted = [*trusted, *(quorum.logs if quorum else ())]
    findings, head_place = [], f"log/{found.head_name}"
    if not found.description.signed:
        findings.append(
            Finding("V901", head_place, "no signature", "one that somebody answers for")
        )
        if trusted:
            findings.append(Finding("V104", head_place, "unsigned", f"signed by {trusted[0]}"))
    else:
        findings += _check_chain(found, leaves)
        findings += _check_trust(found, trusted)
    if quorum is not None and found.head is not None:
        objection = quorum.objection(found.head)
        if objection:
            findings.append(Finding("V111", head_place, objection, f"quorum {quorum.quorum!r}"))
    return findings


def _check_chain(found: Statements, leaves: Sequence[Leaf | None]) -> list[Finding]:
    """Check that each checkpoint is signed by the key of its time.

    A key hands over in a leaf; the first checkpoint that covers this leaf bears both signatures,
    later ones the new key's.
    """
    findings, keys = [], [found.description.keys[0]]
    size = 0
    heads = {**found.history, **({found.head.size: found.head} if found.head else {})}
    for next_size, head in sorted(heads.items()):
        successors = _successors(leaves[size:next_size], keys)
        place = f"log/{HISTORY_FOLDER}/{next_size}"
        for key in [keys[-1], *successors]:
            try:
                signed = head.note is not None and bool(head.note.verify([key]))
                observed = "no signature by it"
            except LogError as error:
                signed, observed = False, error.observed
            # A crash between the handing over and the second signature leaves one behind; the
            # key of before stays in force until a checkpoint bears both.
            if not signed and key == keys[-1]:
                findings.append(Finding("V104", place, observed, str(key)))
            elif signed and key != keys[-1]:
                keys.append(key)
        size = next_size
    if tuple(keys) != found.description.keys:
        observed = ", ".join(map(str, found.description.keys))
        expected = ", ".join(map(str, keys))
        findings.append(Finding("V104", f"log/{DESCRIPTION_NAME}", observed, expected))
    return findings


def _successors(leaves: Sequence[Leaf | None], keys: Sequence[VerifierKey]) -> list[VerifierKey]:
    found = []
    for leaf in leaves:
        if isinstance(leaf, KeyLeaf) and leaf.replaces == str(keys[-1]):
            try:
                found.append(VerifierKey.parse(leaf.verifier_key))
            except GradledgerError:
                continue  # whoever signs next is then not in the chain, which is found there
    return found


def _check_trust(found: Statements, trusted: Sequence[VerifierKey]) -> list[Finding]:
    place = f"log/{DESCRIPTION_NAME}"
    if not trusted:
        return [Finding("V902", place, "the keys in the log itself", "a key from elsewhere")]
    public = {key.public for key in found.description.keys}
    if public.isdisjoint(key.public for key in trusted):
        observed = ", ".join(map(str, found.description.keys))
        return [Finding("V104", place, observed, f"a key handed on from {trusted[0]}")]
    return []
