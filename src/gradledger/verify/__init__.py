"""Checks of a run, and what they find. Nothing here writes, signs, or needs torch."""

from gradledger.verify.answer import ANSWER_FORMAT, check_answer
from gradledger.verify.challenge import chances, make_challenge, read_challenge
from gradledger.verify.check import check_log, check_run
from gradledger.verify.finding import Finding
from gradledger.verify.progress import OnProgress, Progress, untold
from gradledger.verify.recorded import Scope
from gradledger.verify.report import Report

__all__ = [
    "ANSWER_FORMAT",
    "Finding",
    "OnProgress",
    "Progress",
    "Report",
    "Scope",
    "chances",
    "check_answer",
    "check_log",
    "check_run",
    "make_challenge",
    "read_challenge",
    "untold",
]
