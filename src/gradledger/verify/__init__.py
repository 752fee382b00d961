"""Checks of a run, and what they find. Nothing here writes, signs, or needs torch."""

from gradledger.verify.check import check_log, check_run
from gradledger.verify.finding import Finding
from gradledger.verify.recorded import Scope
from gradledger.verify.report import Report

__all__ = ["Finding", "Report", "Scope", "check_log", "check_run"]
