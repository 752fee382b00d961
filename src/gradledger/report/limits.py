"""What a report does not prove, in plain words, with what holds for this run in particular."""

from __future__ import annotations

from gradledger.query.standing import standing_notes
from gradledger.report.evidence import SignedLog
from gradledger.report.reading import Reading


def limits(reading: Reading, signed_log: SignedLog | None) -> tuple[str, ...]:
    """Return the limits of the claims, general ones first."""
    words = [
        (
            "Shares are accounting: they add up to the change that happened. They are not "
            "effects: what the model would be without an example is told only by executing the "
            "run without it."
        ),
        (
            "Weight 0 stops an example's direct gradient into a block. Other ways remain: later "
            "gradients of other blocks, the clipping factor, normalisation statistics, tied "
            "weights and the optimizer's state."
        ),
        (
            "Licences, sources and classes are those that were given at admission. Nobody here "
            "checked them against the world, and an accepted licence is not by itself consent to "
            "training."
        ),
        (
            "The opening balance stands for all that the model was before the first step. What "
            "shaped that is not in these books."
        ),
    ]
    if signed_log is None:
        words.append(
            "Digests show that files are those that were written down. They do not show that what "
            "was written is true; re-executing steps does."
        )
    else:
        words.append(
            "A signed log proves that nothing changed since it was signed. It does not prove that "
            "what was written is true; re-executing steps does."
        )
    begin = reading.records.begin
    if begin.coverage.unattributed:
        words.append(
            f"Coverage is {begin.coverage.percent:.4g} %: what moved the other parameters has no "
            "owner among the examples."
        )
    if not begin.policy:
        words.append("The run had no policy: nothing here says that any use was permitted.")
    if reading.measure == "energy":
        words.append(
            "Displacement was not settled: shares are of energy, on cash basis, which leaves "
            "momentum of earlier visits without owners."
        )
    notes = standing_notes(reading.records, reading.matched, reading.span)
    return (*words, *(f"{note[:1].upper()}{note[1:]}." for note in notes))
