"""What ``gl.open`` returns: every question on a run as a method. No torch is needed."""

from gradledger.ledger.ledger import Ledger, open_ledger
from gradledger.ledger.verification import verify_run

__all__ = ["Ledger", "open_ledger", "verify_run"]
