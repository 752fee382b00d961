"""Show answers and errors: data on stdout, messages on stderr, nothing of a run read as markup."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from gradledger.errors import GradledgerError
from gradledger.query import Answer, inert

if TYPE_CHECKING:
    from gradledger.ledger import Ledger

#: Exit codes: nothing wrong, findings, could not go on.
EXIT_CLEAN, EXIT_FINDINGS, EXIT_ERROR = 0, 1, 2


def show(answer: Answer, *, as_json: bool) -> int:
    """Write ``answer`` to stdout and return the exit code that it deserves."""
    try:
        if as_json:
            sys.stdout.write(to_json(answer.to_dict()) + "\n")
        elif sys.stdout.isatty():
            Console(highlight=False, markup=False, emoji=False).print(answer)
        else:
            sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of a pipe (head, less) has seen enough; nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_FINDINGS if answer.findings else EXIT_CLEAN


def save_picture(answer: Answer, path: Path | None) -> None:
    """Write the picture of ``answer`` where one is asked for."""
    if path is not None:
        answer.plot().save(path)


def save_page(ledger: Ledger, answer: Answer, path: Path | None) -> None:
    """Write ``answer`` as a page of its own where one is asked for, and say where it is."""
    if path is not None:
        ledger.page_of(answer).write(path)
        say(f"written to {inert(path, 400)}")


def complain(error: GradledgerError, *, as_json: bool) -> int:
    """Write ``error`` to stderr as one message with its hint and return the exit code."""
    parts = error.to_dict()
    if as_json:
        sys.stderr.write(to_json({"error": parts}) + "\n")
        return EXIT_ERROR
    place = f" ({inert(parts['where'], 300)})" if parts["where"] else ""
    say(
        f"[{parts['code']}] {parts['title']}: observed {inert(parts['observed'], 400)}, "
        f"expected {inert(parts['expected'], 400)}{place}"
    )
    if parts["hint"]:
        say(f"hint: {inert(parts['hint'], 400)}", style="dim")
    return EXIT_ERROR


def say(message: str, style: str = "") -> None:
    """Write one line to stderr; colours only on a terminal."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    console.print(Text(message, style=style))


def to_json(value: Any) -> str:
    """Return ``value`` as JSON in ASCII, so that no terminal acts on what a run holds."""
    text = json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False)
    return text.replace("\x7f", "\\u007f")
