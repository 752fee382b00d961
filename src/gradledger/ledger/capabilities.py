"""Questions on behaviours: how each moved, what moved it, and on whose authority."""

from __future__ import annotations

from collections.abc import Sequence

from gradledger.query import Answer, Records, capabilities, capability, policies


class Capabilities:
    """The part of a ledger that knows of behaviours."""

    _records: Records

    def capabilities(self) -> Answer:
        """Return every probe of the run: how its loss moved, and what of that is booked."""
        return capabilities(self._records)

    def capability(
        self,
        name: str,
        *,
        by: str = "example",
        group: str | Sequence[str] | None = None,
        start: int | None = None,
        stop: int | None = None,
        top: int = 20,
        order: str = "size",
    ) -> Answer:
        """Rank what moved a behaviour, in nats that add up to its measured change.

        Args:
            name: The probe.
            by: As in ``trace``, or ``block`` or ``group`` for parts of the model.
            group: Only what acted through these parameter groups; all by default.
            start: First step, included; the step after a probed one.
            stop: Last step, included; a probed step.
            top: Rows at most.
            order: ``size``, ``signed``, ``positive`` or ``negative`` (what lowered the loss).

        Raises:
            QueryError: Q104 group, Q105 column, Q106 steps, Q107 not settled for these steps,
                Q110 argument, Q121 no such probe.
        """
        return capability(
            self._records, name, by=by, group=group, start=start, stop=stop, top=top, order=order
        )

    def policies(
        self,
        capability: str | None = None,
        *,
        group: str | Sequence[str] | None = None,
        start: int | None = None,
        stop: int | None = None,
    ) -> Answer:
        """Which policy, version and rule admitted what shaped a capability, or groups.

        Args:
            capability: A probe; by default the change of the parameters is asked about.
            group: Names, dotted prefixes or globs of groups or blocks; all parameters by default.
            start: First step, included.
            stop: Last step, included.

        Raises:
            QueryError: Q104 group, Q106 steps, Q107 measure not available, Q121 no such probe.
        """
        return policies(self._records, capability, group=group, start=start, stop=stop)
