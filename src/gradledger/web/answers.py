"""Answers that took long, kept on disk: derived, rebuildable, named by the files they come from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

from gradledger.canon import record_digest
from gradledger.errors import GradledgerError
from gradledger.query import Answer, answer_from_json, answer_to_json
from gradledger.segment import write_bytes_atomic

#: Part of the version of what is kept: another package version asks anew.
_FORMAT: Final = "answers/1"


class Answers:
    """Kept answers of runs.

    Args:
        folder: Where they are kept; made when the first is.
        version: Version of the package that gives them.
    """

    def __init__(self, folder: Path, version: str) -> None:
        self.folder, self._version = folder, version

    def place(self, run_id: str, signature: tuple[tuple[str, int, int], ...]) -> Path:
        """Return the folder of the answers on exactly these files of a run."""
        files = [[name, size, str(moment)] for name, size, moment in signature]
        record = {"run": run_id, "files": files, "version": self._version}
        return self.folder / f"{run_id[:16]}-{record_digest(_FORMAT, record)[:32]}"

    def read(self, place: Path, question: str) -> Answer | None:
        """Return the kept answer to a question; None where there is none, or none that is whole."""
        try:
            record = json.loads(self._file(place, question).read_text(encoding="utf-8"))
            if record["question"] == question:
                return answer_from_json(record["answer"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return None

    def keep(self, place: Path, question: str, answer: Answer) -> None:
        """Keep an answer, and forget those on earlier files of the run; a full disk keeps none."""
        record = {"question": question, "answer": answer_to_json(answer)}
        try:
            if not place.exists():
                for older in self.folder.glob(f"{place.name.split('-')[0]}-*"):
                    shutil.rmtree(older, ignore_errors=True)
            text = json.dumps(record, separators=(",", ":"), allow_nan=False)
            write_bytes_atomic(self._file(place, question), text.encode())
        except (OSError, ValueError, GradledgerError):
            return

    def is_prepared(self, place: Path) -> bool:
        """Whether the usual questions were asked beforehand."""
        return (place / "prepared").is_file()

    def mark_prepared(self, place: Path) -> None:
        """Note that the usual questions were asked."""
        write_bytes_atomic(place / "prepared", b"")

    @staticmethod
    def _file(place: Path, question: str) -> Path:
        name: Any = record_digest("question/1", question)
        return place / f"{name[:32]}.json"
