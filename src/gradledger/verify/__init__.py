"""Checks of a run, and what they find. Nothing here writes, signs, or needs torch."""

from gradledger.verify.check import Report, check_log, check_run
from gradledger.verify.finding import Finding
from gradledger.verify.recorded import Scope

__all__ = ["Finding", "Report", "Scope", "check_log", "check_run"]
