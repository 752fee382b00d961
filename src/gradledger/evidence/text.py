"""What a receipt proves, in plain words, and the text that a bundle carries.

Nothing that a run holds stands in these texts but numbers, digests and names of tables; what the
caller typed is made inert first.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from gradledger.canon import read_leaf
from gradledger.errors import InputError
from gradledger.evidence.receipt import EvidenceReceipt
from gradledger.log import VerifierKey
from gradledger.query import inert
from gradledger.schema import SegmentLeaf

_NAMED: Final = 20

#: What no receipt proves, whatever it holds.
NOT_PROVED: Final = (
    "that the record tells the truth: false rows may have been logged; replay is the test of that",
    "what content is behind a commitment: only the holder of its source's salt can compare them",
    "that content had no influence: it may act through other examples and earlier training",
    "that nobody was shown another log: witnesses that cosign checkpoints are the defence",
)

_COMPLETE: Final[dict[str, str]] = {
    "decision": "that the rules listed are all that the policy has: compare them with its text",
    "examples": "that these are all visits of the examples: rows that were left out cannot be told "
    "from a receipt; ask for the receipts of steps, or verify the whole run",
    "state": "what the files of the state hold: compare their digests with those in the leaf",
    "step": "that the books of all parameter groups are there: compare them with the groups in "
    "run.json",
    "visit": "anything of the example's other visits, or of the decision on it",
}


def subject_words(subject: dict[str, Any]) -> str:
    """Return what a receipt is about, in words."""
    kind = subject.get("kind")
    if kind == "visit":
        place = (subject.get(name) for name in ("step", "micro_batch", "position"))
        return "visit " + ":".join(map(str, place)) + " (step:micro-batch:position)"
    if kind == "examples":
        numbers = [str(number) for number in subject.get("examples", ())]
        more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
        word = "example" if len(numbers) == 1 else "examples"
        return f"{word} {', '.join(numbers[:_NAMED])}{more}: rows, visits and decisions"
    if kind == "decision":
        return f"decision {subject.get('decision')} and the truth of its rules"
    return f"{inert(kind, 20)} {inert(subject.get('step'), 20)}"


def proved_words(receipt: EvidenceReceipt) -> list[str]:
    """Return what a receipt that was checked proves, one sentence each."""
    head = receipt.checkpoint
    tables = row_counts(receipt)
    listed = ", ".join(f"{count} of {inert(table)}" for table, count in tables.items())
    who = "signed" if head.signed else "that nobody signed"
    log = f"the log {inert(head.origin)} at size {head.size}, {who}"
    sentences = [
        f"leaves in {log}: {len(receipt.leaves)}",
        f"the leaves are those of run {inert(receipt.run_id)}",
    ]
    if receipt.rows:
        sentences.append(f"these rows stood in the run when it was logged, bit for bit: {listed}")
        num_texts = sum(len(row.texts) for row in receipt.rows)
        sentences.append(f"{num_texts} texts beside the rows are those whose digests the rows hold")
    if receipt.subject.get("kind") == "step":
        sentences.append("the step has as many visits as its row says: none was left out")
    if receipt.subject.get("kind") in {"examples", "decision"}:
        sentences.append("each decision named by a row is there, under the policy that it names")
    return sentences


def not_proved_words(receipt: EvidenceReceipt) -> list[str]:
    """Return what a receipt does not prove."""
    complete = _COMPLETE.get(str(receipt.subject.get("kind")))
    return [*([complete] if complete else []), *NOT_PROVED]


def row_counts(receipt: EvidenceReceipt) -> dict[str, int]:
    """Return how many rows a receipt has of each table."""
    tables = []
    for row in receipt.rows:
        try:
            leaf = read_leaf(receipt.leaves[row.leaf].leaf)
        except InputError:
            continue
        tables.append(leaf.table if isinstance(leaf, SegmentLeaf) else leaf.kind)
    return dict(sorted(Counter(tables).items()))


def bundle_text(receipt: EvidenceReceipt, selection: str, keys: Sequence[VerifierKey]) -> str:
    """Return the text of a bundle in Markdown."""
    head, key = receipt.checkpoint, str(keys[-1]) if keys else ""
    counts = "\n".join(f"- `{table}`: {count} rows" for table, count in row_counts(receipt).items())
    proved = "\n".join(f"- {sentence}." for sentence in proved_words(receipt))
    not_proved = "\n".join(f"- {sentence}." for sentence in not_proved_words(receipt))
    signed = (
        f"The log names this as its key. Compare it with one that you have from its owner:\n\n"
        f"```text\n{key}\n```"
        if key
        else "The log is unsigned: these files show accidents, not changes by whoever made them."
    )
    return _TEXT.format(
        selection=inert(selection, 400).replace("`", "'"),
        run_id=inert(receipt.run_id),
        origin=inert(head.origin, 300),
        size=head.size,
        root=head.root.hex(),
        counts=counts,
        proved=proved,
        not_proved=not_proved,
        signed=signed,
        option=" --key KEY" if key else "",
    )


def selection_of(text: str) -> str | None:
    """Return what a bundle's text says was selected; None where it does not say so."""
    found = _SELECTED.search(text)
    return found and found.group(1)


_SELECTED: Final = re.compile(r"\nSelected:\n\n```text\n([^\n]*)\n```\n")
_TEXT: Final = """# Evidence from the record of a training run

Selected:

```text
{selection}
```

Run `{run_id}`, log `{origin}`, tree size {size}, root hash `{root}`.

## What is in it

{counts}

| file | what it is |
|---|---|
| `receipt.json` | the rows, their texts, and the proof of each |
| `leaves/N.leaf` | leaf N of the log, as it is |
| `leaves/N.tlog-proof` | the proof that leaf N is in the log, in the format c2sp.org/tlog-proof |
| `log/checkpoint` | size and root hash of the log, with signatures and cosignatures |
| `log/log.json` | name of the log and its keys |
| `log/tile/` | hashes of the tree, in the format c2sp.org/tlog-tiles |
| `policies/` | the policies that the decisions rest on, as they were in force |
| `bundle.json` | length and SHA-256 of every file |

Files of an unsigned log bear `unsigned` in their names. No row, text or attribute of any other
example is in it. Proofs hold hashes of neighbouring rows; these contain random identifiers or
measured numbers, except rows of decisions: who guesses every value of a neighbouring decision can
confirm the guess.

## How to check it

With this software, without a network:

```text
gradledger check THIS{option}
```

{signed}

Without it: the formats are public (RFC 6962, C2SP tlog-tiles, tlog-checkpoint, tlog-proof,
signed-note) or described in the reference page on formats, and need SHA-256 and Ed25519 only.

1. Take SHA-256 of every file and compare with `bundle.json`.
2. Check the signature under `log/checkpoint` with the key that you have from the log's owner.
3. For each leaf, follow `leaves/N.tlog-proof` to the root hash of the checkpoint.
4. For each row of `receipt.json`, follow its proof to `inner_root` in its leaf.
5. For each text, take SHA-256 of its UTF-8 and find it in the row at its column.

## What it proves

{proved}

## What it does not prove

{not_proved}

This text is listed in `bundle.json` and is not part of any proof.
"""
