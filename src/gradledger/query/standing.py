"""Notices that stand beside every figure: what the books say about their own limits."""

from __future__ import annotations

from gradledger.query.names import Matched, Span
from gradledger.query.records import Records

#: Tensors that a notice lists.
_NAMED = 3


def standing_notes(records: Records, matched: Matched, span: Span) -> list[str]:
    """Return notices on precision, coverage, coupling, verdicts and an open run.

    Args:
        records: The run.
        matched: Its groups that are asked for.
        span: The steps.
    """
    notes = []
    bits = records.begin.settings.get("visit_bits")
    if bits is not None:
        notes.append(
            f"alignment and norm of each visit are kept to {bits} bits, within "
            f"{2.0 ** -(bits + 1):.2g} of themselves: their sums meet the books to that, not to "
            "the last digit"
        )
    names = {tensor.name for group in matched.groups for tensor in group.tensors}
    missing = [name for name, _ in records.begin.coverage.unattributed if name in names]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        notes.append(f"without per-example capture here: {', '.join(missing[:_NAMED])}{more}")
    bounds = [span.start, span.stop]
    coupled = records.ask_once(
        "SELECT count(*) FROM steps WHERE coupled AND step BETWEEN ? AND ?", bounds
    )[0][0]
    if coupled:
        notes.append(
            f"coupled steps: {coupled}; sums balance there, but a visit's part is not caused by "
            "that visit alone"
        )
    groups = ", ".join(str(number) for number in matched.numbers) or "NULL"
    verdicts = dict(
        records.ask_once(
            f'SELECT verdict, count(*) FROM books WHERE "group" IN ({groups}) '
            "AND step BETWEEN ? AND ? GROUP BY verdict",
            bounds,
        )
    )
    for verdict, meaning in (
        ("unbalanced", "see books"),
        ("not finite", "left out of all sums"),
        (
            "not testable at this precision",
            "rounding of the write or of the gradient is too large to test them",
        ),
    ):
        if verdicts.get(verdict):
            notes.append(
                f"books (step and group) that are {verdict}: {verdicts[verdict]}; {meaning}"
            )
    if records.end is None:
        notes.append("the run was not closed: figures cover what is on disk")
    return notes
