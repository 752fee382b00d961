"""Reports on a run: one evidence model, several forms, and a gate for continuous integration."""

from gradledger.report.answer_page import AnswerPage
from gradledger.report.evidence import EXACTNESS, Evidence, Figure, SignedLog
from gradledger.report.gate import Condition, Violation, parse_gate
from gradledger.report.renderer import Renderer
from gradledger.report.renderers import RENDERERS
from gradledger.report.report import KINDS, Report, make_report

__all__ = [
    "EXACTNESS",
    "KINDS",
    "RENDERERS",
    "AnswerPage",
    "Condition",
    "Evidence",
    "Figure",
    "Renderer",
    "Report",
    "SignedLog",
    "Violation",
    "make_report",
    "parse_gate",
]
