"""One file per page; the navigation lists those of a run in this order."""

from gradledger.web.pages.behaviour import behaviour, start_behaviour
from gradledger.web.pages.books import books
from gradledger.web.pages.capability import capability
from gradledger.web.pages.compare import compare
from gradledger.web.pages.example import example, receipt
from gradledger.web.pages.examples import examples
from gradledger.web.pages.follow import follow
from gradledger.web.pages.matrix import matrix
from gradledger.web.pages.overview import overview
from gradledger.web.pages.policies import policies
from gradledger.web.pages.report import report, report_file, start_report
from gradledger.web.pages.runs import runs
from gradledger.web.pages.states import states
from gradledger.web.pages.trace import trace
from gradledger.web.pages.verify import start_verify, verify
from gradledger.web.pages.whatif import start_whatif, whatif

__all__ = ["PAGES", "RUN_PAGES", "STARTS"]

#: Pages about no single run.
PAGES = {"runs": runs, "compare": compare}

#: Pages of a run: name -> label in the navigation (empty: not there), what makes it.
RUN_PAGES = {
    "overview": ("Overview", overview),
    "matrix": ("Parameter map", matrix),
    "trace": ("Trace: backward", trace),
    "follow": ("Follow: forward", follow),
    "examples": ("Examples", examples),
    "example": ("", example),
    "capability": ("Capabilities", capability),
    "behaviour": ("Behaviour", behaviour),
    "policies": ("Policies", policies),
    "whatif": ("What if", whatif),
    "books": ("Books", books),
    "states": ("Model states", states),
    "verify": ("Verification", verify),
    "report": ("Reports", report),
    "receipt": ("", receipt),
    "report-file": ("", report_file),
}

#: Forms that start work: name of the page -> what starts it and returns where to go.
STARTS = {
    "whatif": start_whatif,
    "behaviour": start_behaviour,
    "report": start_report,
    "verify": start_verify,
}
