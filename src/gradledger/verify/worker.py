"""A process that does parts of a verification: a request a line, an answer a line.

Started by ``share``; it ends when its input does.
"""

from __future__ import annotations

import json
import sys

import pyarrow as pa

from gradledger.verify.parts import answer


def main() -> None:
    """Answer until there is nothing more to answer."""
    # One core each: the others are taken by processes of the same kind.
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
