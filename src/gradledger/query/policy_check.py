"""``policy check``: every mistake of a policy with its line, or what the policy would do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from gradledger.policy import Policy, PolicyCheck, check, line_and_column, read_blocks
from gradledger.query.answer import Answer, Column, Table
from gradledger.query.documents import read_begin

_PRECEDENCE: Final = (
    "deny goes over quarantine over defer over admit; what no rule admits is denied; a rule that "
    "is unknown never admits"
)


def check_policy(
    policy: str | Path, *, model_blocks: str | Path | None = None, run: str | Path | None = None
) -> Answer:
    """Check a policy document.

    Args:
        policy: The document.
        model_blocks: File that lists the blocks of a model.
        run: Directory of a run whose model has the blocks.

    Returns:
        As many findings as mistakes; without a mistake tables ``rules``, ``classes``,
        ``assignment``, ``profiles`` and, where blocks are known, ``weights``.

    Raises:
        PolicyError: P101 the document cannot be read, P156 the blocks cannot.
        QueryError: Q101 to Q103 the run cannot be read.
        StorageError: S113 the blocks cannot be read.
    """
    blocks = None
    if model_blocks is not None:
        blocks = read_blocks(model_blocks)
    elif run is not None:
        blocks = list(read_begin(Path(run)).blocks)
    return _answer(check(Path(policy), blocks), policy)


def _answer(result: PolicyCheck, path: str | Path) -> Answer:
    if result.policy is None:
        number = len(result.problems)
        said = "1 mistake" if number == 1 else f"{number} mistakes"
        return Answer(
            question="policy check",
            title=f"Check: {result.name} has {said}",
            kind="accounting",
            facts={"file": str(path), "mistakes": number, **_blocks(result)},
            tables=(_problems(result),),
            notes=tuple(
                f"{problem.where}: {problem.title}: observed {problem.observed}, expected "
                f"{problem.expected}" + (f"; {problem.hint}" if problem.hint else "")
                for problem in result.problems
            ),
            findings=number,
        )
    policy = result.policy
    return Answer(
        question="policy check",
        title=f"Check: {result.name} is a policy that can be used",
        kind="accounting",
        facts={
            "file": str(path),
            "policy": f"{policy.id}@{policy.version}",
            "digest": policy.digest,
            "reads": list(policy.reads),
            **_blocks(result),
        },
        tables=(_rules(policy), _classes(policy), _assignment(policy), *_profiles(result)),
        notes=(
            *result.remarks,
            _PRECEDENCE,
        ),
    )


def _blocks(result: PolicyCheck) -> Mapping[str, Any]:
    if result.blocks is None:
        return {"blocks": "not given: profiles are not resolved"}
    return {"blocks": len(result.blocks)}


def _problems(result: PolicyCheck) -> Table:
    columns = (
        Column("line", "line", "integer"),
        Column("column", "column", "integer"),
        Column("code", "code"),
        Column("title", "mistake"),
        Column("observed", "observed", wraps=True),
        Column("expected", "expected", in_text=False),
        Column("hint", "hint", in_text=False),
        Column("where", "where", in_text=False),
    )
    rows = tuple(
        (
            *(line_and_column(problem) or (None, None)),
            problem.code,
            problem.title,
            problem.observed,
            problem.expected,
            problem.hint,
            problem.where,
        )
        for problem in result.problems
    )
    return Table("problems", "Mistakes", columns, rows)


def _rules(policy: Policy) -> Table:
    columns = (
        Column("rule", "rule"),
        Column("effect", "effect if true"),
        Column("reads", "reads"),
        Column("when", "when", wraps=True),
        Column("message", "message", in_text=False),
    )
    rows = tuple(
        (rule.id, rule.effect, ", ".join(rule.reads), " ".join(rule.text.split()), rule.message)
        for rule in policy.rules
    )
    return Table("rules", "Rules", columns, rows)


def _classes(policy: Policy) -> Table:
    columns = (
        Column("class", "class"),
        Column("reads", "reads"),
        Column("when", "when", wraps=True),
    )
    rows = tuple(
        (entry.id, ", ".join(entry.reads), " ".join(entry.text.split())) for entry in policy.classes
    )
    return Table("classes", "Classes, in the order in which they are tried", columns, rows)


def _assignment(policy: Policy) -> Table:
    columns = (Column("class", "class"), Column("band", "band"), Column("profile", "profile"))
    rows = tuple(
        (
            name or ("unknown" if policy.classes else "any"),
            band or ("unknown" if policy.bands else "any"),
            profile,
        )
        for (name, band), profile in policy.assignment.by.items()
    )
    return Table("assignment", "Profile of an admitted example", columns, rows)


def _profiles(result: PolicyCheck) -> tuple[Table, ...]:
    policy = result.policy
    if policy is None:
        return ()
    assigned = set(policy.assignment.by.values())
    columns = (
        Column("profile", "profile"),
        Column("assigned", "assigned", "flag"),
        Column("default", "default", "number"),
        Column("max", "largest allowed", "number"),
        Column("selectors", "blocks with another weight", wraps=True),
    )
    rows = tuple(
        (
            name,
            name in assigned,
            profile.default,
            profile.max,
            ", ".join(f"{selector.text} {weight:g}" for selector, weight in profile.weights),
        )
        for name, profile in policy.profiles.items()
    )
    tables = [Table("profiles", "Depth profiles", columns, rows)]
    if result.blocks is not None:
        names = [name for name in policy.profiles if name in result.weights]
        weights = tuple(
            (block, *(result.weights[name][place] for name in names))
            for place, block in enumerate(result.blocks)
        )
        heads = (Column("block", "block"), *(Column(name, name, "number") for name in names))
        tables.append(Table("weights", "Weight per block, input to output", heads, weights))
    return tuple(tables)
