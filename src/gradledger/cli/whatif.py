"""``gradledger whatif``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from gradledger.cli.loop import Command, Fresh, Name, Settings, TrustEntry, entry_arguments
from gradledger.cli.options import (
    AsJson,
    ContentClass,
    Example,
    License,
    Rule,
    RunDir,
    Source,
    Unit,
    Where,
    filters,
)
from gradledger.cli.output import save_page, show
from gradledger.cli.progress import executing
from gradledger.errors import QueryError
from gradledger.ledger import open_ledger
from gradledger.query import HOW
from gradledger.segment import cannot_read

How = Annotated[
    str,
    typer.Option(
        "--how",
        metavar="NAME",
        help=f"{' | '.join(HOW)}: execute the run again, or one estimate alone.",
    ),
]
Within = Annotated[
    float | None,
    typer.Option(
        "--within",
        metavar="SECONDS",
        min=0.0,
        help="Execute if that takes no longer; else answer by stored derivatives or the books.",
    ),
]
Nothing = Annotated[
    bool, typer.Option("--nothing", help="Change nothing: is the run the same bit for bit?")
]
Renormalise = Annotated[
    bool,
    typer.Option("--renormalise", help="Remove them, and let means run over what remains."),
]
Factor = Annotated[
    float | None,
    typer.Option("--factor", metavar="X", help="Multiply their weight by X instead of removing."),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="Hold them to this profile of the run instead of removing; or one weight per block, "
        "with commas.",
    ),
]
ContentFile = Annotated[
    Path | None,
    typer.Option(
        "--content",
        metavar="FILE",
        help="Present the item of this .npz, .npy or .safetensors file in their place.",
    ),
]
ContentOf = Annotated[
    str | None,
    typer.Option("--content-of", metavar="EXAMPLE", help="Present this example in their place."),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--policy", metavar="FILE", help="Do what this policy would have decided, on all examples."
    ),
]
Steps = Annotated[
    str | None,
    typer.Option("--steps", metavar="FIRST:LAST", help="Only in these steps."),
]
Time = Annotated[
    str | None,
    typer.Option(
        "--time",
        metavar="FROM..TO",
        help="Only in the steps that ended between two moments, ISO 8601; UTC without an offset.",
    ),
]
PlanFile = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        metavar="FILE",
        help="Several interventions in one run: a YAML or JSON list, as ledger.whatif takes it.",
    ),
]
FromStep = Annotated[
    int | None,
    typer.Option(
        "--from",
        metavar="STEP",
        help="Begin with the state after this step; 0 executes the whole run.",
    ),
]
Page = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Write the answer as one self-contained page too."),
]
Check = Annotated[
    int | None,
    typer.Option(
        "--check",
        metavar="N",
        help="Execute N sampled removals of single examples, and say how well the estimates agree.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the sample of --check.")]
Strata = Annotated[
    str, typer.Option("--strata", metavar="COLUMN", help="What the sample of --check is spread by.")
]
Processes = Annotated[
    int, typer.Option("--processes", metavar="N", help="Processes that execute side by side.")
]


def whatif(
    run: RunDir,
    command: Command = None,
    *,
    example: Example = None,
    source: Source = None,
    license: License = None,  # noqa: A002 - the name of the option
    content_class: ContentClass = None,
    rule: Rule = None,
    where: Where = None,
    nothing: Nothing = False,
    renormalise: Renormalise = False,
    factor: Factor = None,
    profile: Profile = None,
    content: ContentFile = None,
    content_of: ContentOf = None,
    policy: PolicyFile = None,
    steps: Steps = None,
    time: Time = None,
    plan: PlanFile = None,
    how: How = "replay",
    within: Within = None,
    by: Unit = "block",
    check: Check = None,
    seed: Seed = 0,
    strata: Strata = "class",
    processes: Processes = 1,
    name: Name = None,
    trust_entry: TrustEntry = False,
    settings: Settings = None,
    fresh: Fresh = False,
    begin: FromStep = None,
    page: Page = None,
    as_json: AsJson = False,
) -> int:
    """Counterfactual: show what the model would be with examples removed, reweighted or exchanged.

    The run is executed again; estimates stand beside it. The result is stored beside the run, in
    RUN.replays, and the same question is answered from there. Executing needs gradledger[train]
    and the training loop that the run names.
    """
    wanted: dict[str, Any] = dict(
        filters(where, source=source, license=license, content_class=content_class, rule=rule)
    )
    if example is not None:
        wanted["example"] = example
    operations = {
        "--renormalise": renormalise,
        "--factor": factor is not None,
        "--profile": profile is not None,
        "--content": content is not None,
        "--content-of": content_of is not None,
    }
    given = [name for name, is_given in operations.items() if is_given]
    whole = {"--nothing": nothing, "--policy": policy, "--plan": plan, "--check": check}
    alone = [name for name, value in whole.items() if value]
    _refuse(wanted, given, alone)
    with open_ledger(run) as ledger, executing() as advance:
        loop: dict[str, Any] = {
            "trust_entry": trust_entry,
            "entry_arguments": entry_arguments(settings),
            "progress": advance,
        }
        if check is not None:
            answer = ledger.check_estimates(
                check, seed=seed, strata=strata, processes=processes, fresh=fresh, **loop
            )
        else:
            asked = _plan(plan) if plan else [_asked(wanted, factor, profile, content, content_of)]
            if renormalise:
                asked = [{"renormalise": wanted}]
            if policy is not None:
                asked = [{"policy": policy}]
            if steps is not None:
                asked = [{**item, "steps": _range(steps)} for item in asked]
            if time is not None:
                asked = [{**item, "time": time.split("..", 1)} for item in asked]
            answer = ledger.whatif(
                interventions=asked,
                how=how,
                within_seconds=within,
                by=by,
                fresh=fresh,
                start=begin,
                command=tuple(command or ()),
                name=name,
                **loop,
            )
        save_page(ledger, answer, page)
    return show(answer, as_json=as_json)


def _refuse(wanted: dict[str, Any], given: list[str], alone: list[str]) -> None:
    """Refuse more than one thing to do, or nothing to do it to."""
    if len(given) > 1 or len(alone) > 1 or (given and alone):
        raise QueryError(
            "Q110",
            observed=" and ".join([*given, *alone]),
            expected="one of them; several in one run are a --plan",
            where="whatif",
        )
    if bool(wanted) == bool(alone):
        raise QueryError(
            "Q110",
            observed=f"a selection and {alone[0]}" if alone else "no selection",
            expected="filters for chosen examples, or one of --nothing, --policy, --plan, --check",
            where="gradledger whatif",
        )


def _asked(
    wanted: dict[str, Any],
    factor: float | None,
    profile: str | None,
    content: Path | None,
    content_of: str | None,
) -> dict[str, Any]:
    if factor is not None:
        return {"reweight": wanted, "factor": factor}
    if profile is not None:
        return {"reprofile": wanted, "profile": _weights(profile)}
    if content is not None:
        return {"substitute": wanted, "content": content}
    if content_of is not None:
        return {"substitute": wanted, "example": content_of}
    return {"remove": wanted}


def _plan(path: Path) -> list[dict[str, Any]]:
    """Read a list of interventions."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise cannot_read(path, error) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        found = f"{type(error).__name__}"
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise QueryError(
            "Q110",
            observed=f"{found!r:.100}",
            expected="a list of interventions",
            where=str(path),
            hint='for example [{"remove": {"source": "a"}}, {"reweight": 7, "factor": 2}]',
        )
    return found


def _range(steps: str) -> tuple[int, int]:
    first, _, last = steps.partition(":")
    if not (first.isdecimal() and last.isdecimal()):
        raise QueryError("Q110", observed=f"--steps {steps}", expected="FIRST:LAST", where="whatif")
    return int(first), int(last)


def _weights(profile: str) -> str | list[float]:
    """Read a name, or weights with commas."""
    try:
        return [float(part) for part in profile.split(",")]
    except ValueError:
        return profile
