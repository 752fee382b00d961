"""``gradledger info``."""

from __future__ import annotations

from gradledger.cli.options import AsJson, RunDir
from gradledger.cli.output import show
from gradledger.ledger import open_ledger


def info(run: RunDir, *, as_json: AsJson = False) -> int:
    """Show what a run is: model, coverage, policy, optimizer, counts, balance, versions."""
    with open_ledger(run) as ledger:
        return show(ledger.info(), as_json=as_json)
