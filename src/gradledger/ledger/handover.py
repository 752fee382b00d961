"""Evidence from a run: receipts, bundles and proofs of absence, for somebody without the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradledger.evidence import hand_absence, hand_bundle, hand_receipt
from gradledger.ledger.filters import named_filters
from gradledger.query import Answer, Records


class Handover:
    """The part of a ledger that writes evidence; the run itself is only read."""

    _records: Records

    def receipt(
        self,
        example: int | str | None = None,
        *,
        visit: str | None = None,
        decision: int | None = None,
        step: int | None = None,
        state: int | None = None,
        hide: Sequence[str] = (),
        out: str | Path | None = None,
    ) -> Answer:
        """Write the receipt of an example, visit, decision, step or model state.

        Args:
            example: Number, id, or value of a metadata column that names examples; its row, all
                its visits and the decisions on it.
            visit: One visit, as ``STEP:MICRO:POSITION``.
            decision: Number of a decision.
            step: Number of a step; its row, books and visits.
            state: Step after which a model state was stored.
            hide: Columns whose texts stay out.
            out: File to write; by default a name in the current folder.

        Returns:
            What the file proves and what not.

        Raises:
            QueryError: Q108 nothing matches, Q110 not exactly one subject.
            LogError: The run has no log (L132), a row cannot be proved (L181), or the file is there
                already (L182).
        """
        asked = {
            "visit": visit,
            "example": example,
            "decision": decision,
            "step": step,
            "state": state,
        }
        return hand_receipt(self._records, asked, hide=hide, out=out)

    def bundle(
        self,
        example: int | str | None = None,
        *,
        content_class: str | None = None,
        where: Mapping[str, Any] | None = None,
        hide: Sequence[str] = (),
        out: str | Path | None = None,
        **columns: Any,
    ) -> Answer:
        """Write a bundle of examples: rows, proofs, leaves, tiles, policies, and a text.

        Args:
            example: Number, id, or value of a metadata column that names examples.
            content_class: Content class that the policy gave.
            where: Further filters by name.
            hide: Columns whose texts stay out.
            out: Name ending in ``.zip`` for an archive, any other for a folder.
            **columns: As in ``follow``.

        Raises:
            QueryError: Q105 column, Q108 nothing matches, Q110 no filter.
            LogError: The run has no log (L132), a row cannot be proved (L181), a policy was altered
                or the name is taken (L182).
        """
        filters = named_filters(example, content_class, where, columns)
        return hand_bundle(self._records, filters, hide=hide, out=out)

    def absence(
        self,
        content: Any = None,
        *,
        commitment: str | None = None,
        out: str | Path | None = None,
    ) -> Answer:
        """Write proofs that content is not among the commitments that the run sealed.

        Args:
            content: An item as the data set yields it, or the path of a file that holds one, as in
                ``exclude``.
            commitment: In place of content, a commitment of 64 hex digits.
            out: File to write; by default ``absence.json`` in the current folder.

        Returns:
            An answer whose ``findings`` are 1, without a file, where it is there.

        Raises:
            QueryError: Q110 argument, Q131 content, Q132 salts.
            LogError: The run has no log (L132), nothing was sealed (L171), or the file is there
                already (L182).
        """
        return hand_absence(self._records, content=content, commitment=commitment, out=out)
