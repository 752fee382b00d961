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
from gradledger.segment import write_bytes_atomic, write_json
from gradledger.web.alike import alike
from gradledger.web.content import Contents
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


def _progress(folder: Path) -> Callable[[int, int], None]:
    """Return what notes how far the work is, now and then."""
    latest = 0.0

    def note(step: int, num_steps: int) -> None:
        nonlocal latest
        if step == num_steps or time.monotonic() - latest > _NOTE_SECONDS:
            latest = time.monotonic()
            write_json(folder / PROGRESS, {"step": step, "steps": num_steps})

    return note


def _whatif(folder: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    with open_ledger(request["run"]) as ledger:
        answer = ledger.whatif(**request["arguments"], how="replay", progress=_progress(folder))
    return answer_to_json(answer)


def _behaviour(_: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """Read a text with the final model, and look for it in the contents of examples.

    Each can be had without the other: a run that names no training loop has no model that reads.
    """
    asked = dict(request["arguments"])
    folders = [Path(folder) for folder in asked.pop("content")]
    found: dict[str, Any] = {"text": asked.get("text"), "reading": None, "problem": ""}
    with open_ledger(request["run"]) as ledger:
        try:
            reading = ledger.behaviour(**asked)
            found["reading"] = answer_to_json(reading)
            found["text"] = "".join(row["text"] for row in reading.table("pieces").records())
        except GradledgerError as error:
            found["problem"] = str(error)
        if found["text"]:
            found |= alike(ledger, Contents(folders), found["text"])
    return found


def _behind(folder: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """Differentiate a text, or a behaviour that the training loop names, through the run."""
    asked = dict(request["arguments"])
    name = asked.pop("name", None)
    with open_ledger(request["run"]) as ledger:
        if name is not None:
            answer = ledger.influence(name, progress=_progress(folder), removals=0, **asked)
        else:
            answer = ledger.behind(progress=_progress(folder), **asked)
    return answer_to_json(answer)


def _report(folder: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    with open_ledger(request["run"]) as ledger:
        made = ledger.report(**request["arguments"])
        places = {
            form: made.write(folder / f"report.{form}", form).name for form in ("html", "json")
        }
        return {"files": places, "verdicts": str(made)}


def _verify(folder: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    asked = dict(request["arguments"])
    if text := asked.pop("quorum", ""):
        asked["quorum"] = folder / "quorum.txt"
        write_bytes_atomic(asked["quorum"], text.encode())
    with open_ledger(request["run"]) as ledger:
        found = ledger.verify(**asked)
    return {**found.to_dict(), "in_words": found.in_words}


def _explain(folder: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    with open_ledger(request["run"]) as ledger:
        answer = ledger.explain(**request["arguments"], progress=_progress(folder))
    return answer_to_json(answer)


_KINDS: Final[dict[str, Callable[[Path, Mapping[str, Any]], dict[str, Any]]]] = {
    "behaviour": _behaviour,
    "behind": _behind,
    "explain": _explain,
    "whatif": _whatif,
    "report": _report,
    "verify": _verify,
}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
