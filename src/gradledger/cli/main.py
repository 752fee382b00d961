"""The command ``gradledger``: one command per question, exit codes 0, 1 and 2."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer
from typer.main import get_command

from gradledger import __version__
from gradledger.cli.behaviour import behaviour
from gradledger.cli.books import books
from gradledger.cli.browse import describe, effects, examples, progress, visits
from gradledger.cli.capability import capability, policies
from gradledger.cli.decide import decide
from gradledger.cli.demo import demo
from gradledger.cli.diff import diff
from gradledger.cli.doctor import doctor
from gradledger.cli.erase import erase
from gradledger.cli.evidence import absence, bundle, check, forget, receipt
from gradledger.cli.exclude import exclude
from gradledger.cli.explain import explain
from gradledger.cli.first_use import first_use
from gradledger.cli.follow import follow
from gradledger.cli.influence import influence
from gradledger.cli.info import info
from gradledger.cli.key import KEY_COMMANDS
from gradledger.cli.orphans import orphans
from gradledger.cli.output import EXIT_ERROR, complain, say, to_json
from gradledger.cli.policy import POLICY_COMMANDS
from gradledger.cli.replay import replay
from gradledger.cli.report import report
from gradledger.cli.serve import compare, runs, serve
from gradledger.cli.settle import settle
from gradledger.cli.spot_checks import answer, challenge
from gradledger.cli.statement import STATEMENT_COMMANDS
from gradledger.cli.states import states
from gradledger.cli.steps import steps
from gradledger.cli.timeline import matrix, timeline
from gradledger.cli.trace import trace
from gradledger.cli.verify import verify
from gradledger.cli.whatif import whatif
from gradledger.cli.witness import WITNESS_COMMANDS
from gradledger.errors import GradledgerError
from gradledger.query import inert

#: The commands, in the order in which help lists them.
COMMANDS = (
    runs,
    info,
    progress,
    steps,
    books,
    trace,
    follow,
    effects,
    timeline,
    matrix,
    capability,
    policies,
    first_use,
    exclude,
    decide,
    examples,
    describe,
    visits,
    states,
    diff,
    whatif,
    influence,
    explain,
    behaviour,
    replay,
    erase,
    compare,
    settle,
    orphans,
    report,
    verify,
    challenge,
    answer,
    doctor,
    receipt,
    bundle,
    absence,
    check,
    forget,
    serve,
    demo,
)

#: Groups of commands: name, help, commands.
GROUPS = (
    (
        "policy",
        "Check, simulate, compare and explain policies, without training anything.",
        POLICY_COMMANDS,
    ),
    (
        "statement",
        "State in a signed envelope how a model was trained, governed and verified.",
        STATEMENT_COMMANDS,
    ),
    ("key", "Make keys that sign or cosign logs, show them, and hand logs over.", KEY_COMMANDS),
    (
        "witness",
        "Keep what a log was, so that it cannot be cut or rewritten unseen.",
        WITNESS_COMMANDS,
    ),
)

#: Usage errors of whichever click typer brings along: its own copy, or the package.
_CommandError: Final[type[Exception]] = typer.BadParameter.__mro__[2]

_EPILOG = (
    "Exit codes: 0 clean, 1 findings, 2 could not go on. Data goes to stdout, messages to stderr."
)


def _print_version(*, wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"gradledger {__version__}\n")
        raise typer.Exit


def _root(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=lambda value: _print_version(wanted=value),
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Double-entry bookkeeping for neural-network training: ask a recorded run."""


def build() -> Any:
    """Return the command tree."""
    settings = {"help_option_names": ["-h", "--help"]}
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=settings,
        epilog=_EPILOG,
    )
    app.callback()(_root)
    for command in COMMANDS:
        app.command(command.__name__.replace("_", "-"))(command)
    for name, about, commands in GROUPS:
        group = typer.Typer(
            help=about, rich_markup_mode=None, context_settings=settings, no_args_is_help=True
        )
        for member in commands:
            group.command(member.__name__)(member)
        app.add_typer(group, name=name)
    return get_command(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: Words after ``gradledger``; those of the process by default.
    """
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    as_json = "--json" in words
    try:
        code = build().main(args=words, prog_name="gradledger", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except GradledgerError as error:
        return complain(error, as_json=as_json)
    except _CommandError as error:
        return _complain_of_usage(error, as_json=as_json)
    except (typer.Abort, KeyboardInterrupt):
        say("stopped")
        return EXIT_ERROR


def _complain_of_usage(error: Any, *, as_json: bool) -> int:
    message = inert(error.format_message(), 400)
    if as_json:
        sys.stderr.write(to_json({"error": {"code": "usage", "title": message}}) + "\n")
        return EXIT_ERROR
    say(f"gradledger: {message}")
    context = getattr(error, "ctx", None)
    if context is not None:
        say(f"hint: {context.command_path} --help", style="dim")
    return EXIT_ERROR


if __name__ == "__main__":
    sys.exit(main())
