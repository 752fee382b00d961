"""``gradledger policy``: check, simulate, compare and explain, without training."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gradledger.cli.options import AsJson
from gradledger.cli.output import show
from gradledger.errors import QueryError
from gradledger.query import (
    check_policy,
    diff_policies,
    explain_example,
    explain_record,
    simulate_policy,
)

PolicyFile = Annotated[Path, typer.Argument(metavar="POLICY", help="Policy document (YAML).")]
TableFile = Annotated[
    Path,
    typer.Argument(metavar="TABLE", help="Metadata: .parquet, .csv or .jsonl, a row per example."),
]
Now = Annotated[
    str | None,
    typer.Option(
        "--now",
        metavar="MOMENT",
        help="Moment of decision, ISO 8601 with a zone: 2026-01-31T00:00:00Z. Default: now.",
    ),
]
AllowMissing = Annotated[
    bool,
    typer.Option(
        "--allow-missing", help="Take attributes that the table lacks as missing in every row."
    ),
]
Run = Annotated[Path | None, typer.Option("--run", metavar="RUN", help="Directory of a run.")]


def check(
    policy: PolicyFile,
    *,
    model_blocks: Annotated[
        Path | None,
        typer.Option(
            "--model-blocks", metavar="FILE", help="Names of the model's blocks, one per line."
        ),
    ] = None,
    run: Run = None,
    as_json: AsJson = False,
) -> int:
    """Report every mistake of a policy with its line; without one, what the policy would do.

    With blocks, from a file or a run, depth profiles are resolved to one weight per block. Exits
    with 1 where there is a mistake.
    """
    if model_blocks is not None and run is not None:
        raise _misuse("--model-blocks and --run", "one source of blocks")
    return show(check_policy(policy, model_blocks=model_blocks, run=run), as_json=as_json)


def simulate(
    policy: PolicyFile,
    table: TableFile,
    *,
    now: Now = None,
    by: Annotated[
        str, typer.Option("--by", metavar="COLUMN", help="Count by this column as well.")
    ] = "",
    allow_missing: AllowMissing = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write one row per example, as Parquet."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Count what a policy would decide: by verdict, class, profile, rule and reason.

    Says which attributes are missing and what that did.
    """
    answer = simulate_policy(
        policy, table, _moment(now), by=by, allow_missing=allow_missing, out=out
    )
    return show(answer, as_json=as_json)


def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="Policy in force.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Policy that may replace it.")],
    *,
    on: Annotated[
        Path,
        typer.Option("--on", metavar="TABLE", help="Metadata: .parquet, .csv or .jsonl."),
    ],
    now: Now = None,
    allow_missing: AllowMissing = False,
    as_json: AsJson = False,
) -> int:
    """Show which examples change verdict, class or profile, and which rule decides each.

    Exits with 0 where nothing changes and with 1 where something does.
    """
    answer = diff_policies(old, new, on, _moment(now), allow_missing=allow_missing)
    return show(answer, as_json=as_json)


def explain(
    policy: Annotated[
        Path | None, typer.Argument(metavar="POLICY", help="Policy document (YAML).")
    ] = None,
    record: Annotated[
        Path | None, typer.Argument(metavar="RECORD", help="JSON object: attribute -> value.")
    ] = None,
    *,
    run: Run = None,
    example: Annotated[
        str | None,
        typer.Option("--example", metavar="EXAMPLE", help="Number, id, key or path, with --run."),
    ] = None,
    now: Now = None,
    as_json: AsJson = False,
) -> int:
    """Explain one example: every rule with its truth and why, class, profile, precedence.

    Give POLICY and RECORD; or --run and --example, which decides the recorded attributes again,
    by the policy that was in force unless POLICY is given. Exits with 1 where the result is not
    the recorded one.
    """
    if run is not None and example is not None and record is None and now is None:
        answer = explain_example(run, example, policy=policy)
    elif run is None and example is None and policy is not None and record is not None:
        answer = explain_record(policy, record, _moment(now))
    else:
        raise _misuse(
            "a mixture of both forms, or a part of one",
            "POLICY RECORD [--now], or [POLICY] --run RUN --example EXAMPLE",
        )
    return show(answer, as_json=as_json)


#: The commands of the group, in the order in which help lists them.
POLICY_COMMANDS = (check, simulate, diff, explain)


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise _misuse(f"--now {text}", "a moment of ISO 8601") from error


def _misuse(observed: str, expected: str) -> QueryError:
    return QueryError(
        "Q110", observed=observed, expected=expected, hint="see gradledger policy --help"
    )
