"""What ``gl.open`` returns: every question on a run as a method. No torch is needed."""

from gradledger.ledger.browsing import find_runs, list_runs
from gradledger.ledger.ledger import Ledger, open_ledger
from gradledger.ledger.verification import verify_run

__all__ = ["Ledger", "find_runs", "list_runs", "open_ledger", "verify_run"]
