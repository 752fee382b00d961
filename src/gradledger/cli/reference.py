"""The reference page of the command line, printed from the real help."""

from __future__ import annotations

import sys
from typing import Any

from gradledger.cli.main import build

#: Columns of the help texts on the page, whatever the terminal is.
_WIDTH = 90

_HEAD = """# Command line

`gradledger` asks a recorded run; it reads only and needs no torch. Every command but `demo` is the
method of the same name of what `gl.open` returns. This page is printed by
`python -m gradledger.cli.reference`.

- Data goes to stdout, messages to stderr. `--json` writes the whole answer as JSON, tables in full;
  an error is then JSON on stderr.
- Exit codes: 0 clean, 1 findings (`books`: a step is unbalanced or not finite; `report`: a
  condition of `--fail-on` holds), 2 could not go on.
- On a terminal `NO_COLOR` is obeyed; elsewhere pages are 100 columns wide and without colour.
"""


def render() -> str:
    """Return the page as Markdown."""
    root = build()
    above = root.context_class(
        root, info_name="gradledger", terminal_width=_WIDTH, **root.context_settings
    )
    parts = [_HEAD, _section(above)]
    for name, command in root.commands.items():
        below = command.context_class(
            command, info_name=name, parent=above, terminal_width=_WIDTH, **command.context_settings
        )
        parts.append(_section(below))
    return "\n".join(parts)


def _section(context: Any) -> str:
    lines = [line.rstrip() for line in context.get_help().splitlines()]
    return "\n".join([f"## {context.command_path}", "", "```text", *lines, "```", ""])


if __name__ == "__main__":
    sys.stdout.write(render())
