"""``gradledger steps``."""

from __future__ import annotations

from gradledger.cli.options import AsJson, RunDir, Start, Stop
from gradledger.cli.output import show
from gradledger.ledger import open_ledger


def steps(run: RunDir, *, start: Start = None, stop: Stop = None, as_json: AsJson = False) -> int:
    """Show one row per step: visits, loss, size of the change, balance, time."""
    with open_ledger(run) as ledger:
        return show(ledger.steps(start, stop), as_json=as_json)
