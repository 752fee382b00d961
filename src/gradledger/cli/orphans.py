"""``gradledger orphans``."""

from __future__ import annotations

from gradledger.cli.options import AsJson, RunDir
from gradledger.cli.output import show
from gradledger.ledger import open_ledger


def orphans(run: RunDir, *, as_json: AsJson = False) -> int:
    """Show how a run was cut off and went on, and the steps that were set aside."""
    with open_ledger(run) as ledger:
        return show(ledger.orphans(), as_json=as_json)
