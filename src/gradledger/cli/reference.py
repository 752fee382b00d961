"""The reference page of the command line, printed from the real help."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from gradledger.cli.main import build

#: Columns of the help texts on the page, whatever the terminal is.
_WIDTH = 90

_HEAD = """# Command line

`gradledger` asks a recorded run; it reads only and needs no torch, except that `demo` trains,
`doctor` examines a script or a model, `replay` executes a run again, `whatif` and `influence` do
so where no result is stored yet, `behaviour` reads texts with the final model, `forget` destroys
a salt and adds to the log, and `states
--thin` removes states and says so there. Every command but `demo`, `doctor`, `check`, `forget`,
`runs`, `serve` and those of `policy`, `key`, `witness` and `statement` is the method of the same
name of what `gl.open` returns (`first-use` is `first_use`); those of `policy` are functions of
the same name in `gradledger.policy`. This page is printed by `python -m
gradledger.cli.reference`.

- Data goes to stdout, messages to stderr. `--json` writes the whole answer as JSON, tables in full;
  an error is then JSON on stderr.
- Exit codes: 0 clean, 1 findings (`books`: a step is unbalanced or not finite; `states`: a
  state is not as recorded; `exclude`: something that was found was presented; `policy check`: a
  mistake; `policy diff`: an example changes; `report`: a condition of `--fail-on` holds;
  `verify`: something is not as recorded; `doctor`: recording is stopped or limited; `absence`: it
  is there; `check`: a file is refused; `statement verification`: something is wrong), 2 could
  not go on.
- On a terminal `NO_COLOR` is obeyed; elsewhere pages are 100 columns wide and without colour.
"""


def render() -> str:
    """Return the page as Markdown."""
    root = build()
    above = root.context_class(
        root, info_name="gradledger", terminal_width=_WIDTH, **root.context_settings
    )
    return "\n".join([_HEAD, _section(above), *_below(root, above)])


def _below(group: Any, above: Any) -> Iterator[str]:
    """Yield a section for every command of a group, and for the commands of groups in it."""
    for name, command in group.commands.items():
        context = command.context_class(
            command, info_name=name, parent=above, terminal_width=_WIDTH, **command.context_settings
        )
        yield _section(context)
        if hasattr(command, "commands"):
            yield from _below(command, context)


def _section(context: Any) -> str:
    lines = [line.rstrip() for line in context.get_help().splitlines()]
    return "\n".join([f"## {context.command_path}", "", "```text", *lines, "```", ""])


if __name__ == "__main__":
    sys.stdout.write(render())
