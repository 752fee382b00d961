"""The process of one piece of work: ``python -m gradledger.web.worker FOLDER``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from gradledger.errors import GradledgerError
from gradledger.ledger import open_ledger
from gradledger.query import answer_to_json
from gradledger.segment import write_json
from gradledger.web.work import PROGRESS, REQUEST, RESULT

#: Seconds between two notes of progress.
_NOTE_SECONDS: Final = 0.25


def main(folder: Path) -> int:
    """Do the work that a folder asks for, and write what came of it.

    Args:
        folder: Holds the request; progress and result are written beside it.
    """
    request = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    try:
        value = _KINDS[request["kind"]](folder, request)
    except GradledgerError as error:
        write_json(folder / RESULT, {"error": str(error), "parts": error.to_dict()})
        return 1
    write_json(folder / RESULT, {"value": value})
    return 0


def _whatif(folder: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    latest = 0.0

    def note(step: int, num_steps: int) -> None:
        nonlocal latest
        if step == num_steps or time.monotonic() - latest > _NOTE_SECONDS:
            latest = time.monotonic()
            write_json(folder / PROGRESS, {"step": step, "steps": num_steps})

    with open_ledger(request["run"]) as ledger:
        answer = ledger.whatif(**request["arguments"], how="replay", progress=note)
    return answer_to_json(answer)


def _report(folder: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    with open_ledger(request["run"]) as ledger:
        made = ledger.report(**request["arguments"])
        places = {
            form: made.write(folder / f"report.{form}", form).name for form in ("html", "json")
        }
        return {"files": places, "verdicts": str(made)}


def _verify(_: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    with open_ledger(request["run"]) as ledger:
        found = ledger.verify(**request["arguments"])
    return {**found.to_dict(), "in_words": found.in_words}


_KINDS: Final[dict[str, Callable[[Path, Mapping[str, Any]], dict[str, Any]]]] = {
    "whatif": _whatif,
    "report": _report,
    "verify": _verify,
}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
