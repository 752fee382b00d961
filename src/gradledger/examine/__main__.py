"""The process in which ``gradledger doctor`` runs a script or a function.

Takes one argument, a JSON object, and leaves one file, the outcome; what the script prints is its
own affair.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from gradledger.errors import GradledgerError
from gradledger.examine.named import examine_named
from gradledger.examine.script import examine_script, leave
from gradledger.query import Answer, answer_to_json


def main(request: dict[str, Any]) -> NoReturn:
    """Examine the target and write ``{"answer": ...}`` or ``{"error": ...}``."""
    outcome, target = Path(request["outcome"]), str(request["target"])
    options = {"steps": request["steps"], "rounds": request["rounds"]}

    def finish(answer: Answer) -> NoReturn:
        outcome.write_text(json.dumps({"answer": answer_to_json(answer)}), encoding="utf-8")
        leave(0)

    try:
        if request["is_script"]:
            examine_script(
                Path(target), request["arguments"], Path(request["folder"]), finish, **options
            )
        finish(examine_named(target, **options))
    except GradledgerError as error:
        if error.__cause__ is not None:
            traceback.print_exception(error.__cause__, file=sys.stderr)
        outcome.write_text(json.dumps({"error": error.to_dict()}), encoding="utf-8")
        leave(2)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
