"""Pages in a real browser: faults on all of them, and clicks from the start to a removal's effect.

Caveat: the smallest demonstration; what is counted are rules of axe that a page breaks, console
errors and warnings, and requests to other hosts, light and dark. The tests of the pages count.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figure import Figure, NotMeasurableError

_ROOT = Path(__file__).parents[1]
_TESTS = ("tests/web/test_pages.py", "tests/web/test_use.py", "tests/web/test_hostile.py")
_CHOSEN = "sound or ten_clicks or hostile"


def measure() -> list[Figure]:
    """Run the tests that open every page and that walk from a run to a removal."""
    if not (shutil.which("chromium") or shutil.which("chromium-browser")):
        message = "no chromium"
        raise NotMeasurableError(message)
    if importlib.util.find_spec("playwright") is None:
        message = "no playwright"
        raise NotMeasurableError(message)
    with TemporaryDirectory() as folder:
        told = Path(folder) / "tally.json"
        path = os.pathsep.join([str(_ROOT / "src"), str(_ROOT)])
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                *_TESTS,
                "-k",
                _CHOSEN,
                "-p",
                "no:cacheprovider",
            ],
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": path, "GRADLEDGER_WEB_TALLY": str(told)},
            stdout=subprocess.DEVNULL,
            check=False,
        )
        tally = json.loads(told.read_text())
    pages = f"{tally['pages']} pages were looked at"
    return [
        Figure("web.axe_violations", float(tally["axe"]), "count", "equal", 0.0, caveat=pages),
        Figure("web.console_errors", float(tally["console"]), "count", "equal", 0.0,
               caveat="errors and warnings, uncaught exceptions, dialogs; " + pages),
        Figure("web.foreign_requests", float(tally["foreign"]), "count", "equal", 0.0,
               caveat="requests to another host than the server; " + pages),
        Figure("web.walk_clicks", float(tally["clicks"] or float("nan")), "count", "lower", 9.0,
               caveat="from the list of runs to the example that most shaped the licence headers, "
                      "who admitted it, and what removing it does, executed; bar: under 10"),
    ]  # fmt: skip
