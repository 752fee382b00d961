"""A process that executes removals one after the other: ``python -m gradledger.ledger.worker``.

It reads one request per line from its input and answers each with one line. What the training
loop prints goes to the error stream, so that it cannot be taken for an answer.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO

from gradledger.errors import GradledgerError
from gradledger.ledger.entry import load_loop, load_replay
from gradledger.query import open_records
from gradledger.schema import Remove


def serve(requests: TextIO, answers: TextIO) -> int:
    """Execute what is asked until the input ends.

    The first line names the run and its loop; every further one the examples to remove.
    """
    head = json.loads(requests.readline())
    records = open_records(head["run"])
    try:
        loop: Any = None
        for line in requests:
            try:
                if loop is None:
                    loop = load_loop(records, trust=head["trust"], arguments=head["arguments"])
                removal = Remove(tuple(json.loads(line)))
                load_replay().counterfactual(records, removal, loop, fresh=head["fresh"])
                answer: dict[str, Any] = {"done": True}
            except GradledgerError as error:
                answer = {"error": error.to_dict()}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
    finally:
        records.close()
    return 0


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as kept:
        os.dup2(2, 1)
        sys.exit(serve(sys.stdin, kept))
