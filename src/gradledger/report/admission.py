"""Chapter: on whose authority. Decisions, visits that rest on them, and what profiles kept out."""

from __future__ import annotations

from gradledger.query.authority import (
    Authority,
    ProfileUse,
    authority,
    presented,
    profile_uses,
)
from gradledger.query.decide import decisions
from gradledger.report.evidence import Basis, Chart, Field, Figure, Grid, Section, Value, Verdict
from gradledger.report.identity import policy_name
from gradledger.report.reading import Reading, counted

_REFUSALS = ("deny", "quarantine", "defer")


def admission(reading: Reading) -> tuple[Section, tuple[Verdict, ...], dict[str, Figure]]:
    """Return the chapter, its verdicts at the head, and its figures for the gate."""
    standing = authority(reading.records)
    uses = profile_uses(reading.records)
    totals = _presented(reading)
    gauges = {**_visit_gauges(standing), **_blocked_gauges(reading, uses)}
    answer = decisions(reading.records)
    section = Section(
        "authority",
        "On whose authority",
        (
            (
                "A visit is one use of an example in one step. It rests on the decision under "
                "which the example was admitted; what a policy does not admit is denied, "
                "quarantined or deferred."
            ),
        ),
        figures=(*totals, *gauges.values()),
        grids=(_refused(answer.table("reasons").records()), _profiles(reading, uses)),
    )
    return section, (_rests(reading, standing), _kept_out(reading, uses)), gauges


def _presented(reading: Reading) -> list[Figure]:
    held = presented(reading.records)
    places = ("decisions/examples", "decisions/distinct")
    figures = [
        Figure("presented", "examples presented to the policy", sum(held.values()),
               counted("examples", "all examples", *places), "integer")
    ]  # fmt: skip
    names = ["admit", *_REFUSALS, *sorted(set(held) - {"admit", *_REFUSALS})]
    words = {"admit": "admitted", "deny": "denied", "quarantine": "quarantined",
             "defer": "deferred"}  # fmt: skip
    figures += [
        Figure(
            f"examples_{name.replace(' ', '_')}",
            words.get(name, name),
            int(held.get(name, 0)),
            counted("examples", f"examples whose decision is {name}", *places),
            "integer",
        )
        for name in names
    ]
    return figures


def _visit_gauges(standing: Authority) -> dict[str, Figure]:
    places = ("visits", "decisions/distinct", "decisions/examples")

    def figure(name: str, label: str, value: int, query: str) -> Figure:
        return Figure(name, label, value, counted("visits", query, *places), "integer")

    return {
        "denied-visits": figure(
            "denied-visits", "visits on a decision that does not admit", standing.refused,
            "visits whose decision denies, quarantines or defers"),
        "undecided-visits": figure(
            "undecided-visits", "visits without a decision on record", standing.undecided,
            "visits whose example or decision is in no table"),
        "ungoverned-visits": figure(
            "ungoverned-visits", "visits not decided by the run's policy", standing.ungoverned,
            "visits whose decision names another policy digest than the begin record, or none"),
    }  # fmt: skip


def _blocked(uses: list[ProfileUse]) -> tuple[int, int]:
    """Return pairs of visit and block at weight 0, and those with a gradient all the same."""
    pairs = acting = 0
    for use in uses:
        for weight, count in zip(use.weights, use.acting, strict=False):
            if weight == 0.0:
                pairs, acting = pairs + use.visits, acting + count
    return pairs, acting


def _blocked_gauges(reading: Reading, uses: list[ProfileUse]) -> dict[str, Figure]:
    if not reading.is_weighed:
        return {}
    _, acting = _blocked(uses)
    basis = counted("visits x blocks", "gradient norm other than 0 at depth weight 0",
                    "visits", "decisions/distinct", "run.json")  # fmt: skip
    label = "direct gradients at depth weight 0"
    return {"leaked-gradients": Figure("leaked-gradients", label, acting, basis, "integer")}


def _rests(reading: Reading, standing: Authority) -> Verdict:
    name = policy_name(reading)
    if not name:
        return Verdict(
            "authority",
            "Every visit rests on an admitting decision of a policy",
            "no",
            f"The run had no policy: all {standing.visits:,} visits were admitted unchecked.",
        )
    faults = ", ".join(
        f"{count:,} {words}"
        for count, words in (
            (standing.refused, "rest on a refusal"),
            (standing.undecided, "have no decision on record"),
            (standing.ungoverned, "were decided by something else"),
        )
        if count
    )
    because = f"{standing.admitted:,} of {standing.visits:,} visits do"
    return Verdict(
        "authority",
        f"Every visit rests on an admitting decision of policy {name}",
        "yes" if standing.admitted == standing.visits else "no",
        f"{because}: {faults}." if faults else f"{because}.",
    )


def _kept_out(reading: Reading, uses: list[ProfileUse]) -> Verdict:
    question = "Depth weight 0 kept every direct gradient out"
    pairs, acting = _blocked(uses)
    if not reading.is_weighed:
        because = "The recording level holds no gradient norms."
        return Verdict("depth", question, "not known", because)
    if not pairs:
        return Verdict("depth", question, "yes", "No visit had weight 0 in any block.")
    because = (
        f"Of {pairs:,} pairs of visit and block at weight 0, "
        f"{f'{acting:,} have' if acting else 'none has'} a gradient there."
    )
    return Verdict("depth", question, "no" if acting else "yes", because)


def _refused(rows: list[dict[str, Value]]) -> Grid:
    order = {verdict: place for place, verdict in enumerate(_REFUSALS)}
    kept = [row for row in rows if row["verdict"] in order]
    kept.sort(key=lambda row: (order[str(row["verdict"])], -int(row["examples"] or 0)))
    basis = counted("examples", "grouped by verdict and reason", "decisions/examples",
                    "decisions/distinct")  # fmt: skip
    fields = (
        Field("verdict", "verdict"),
        Field("rule", "rule"),
        Field("examples", "examples", "integer", basis),
        Field("reason", "reason"),
    )
    cells = tuple(tuple(row[field.name] for field in fields) for row in kept)
    note = "" if kept else "Nothing was refused."
    if kept:
        note = "An example that is refused for several reasons stands in several rows."
    return Grid("refused", "Denied, quarantined and deferred, and why", fields, cells, note=note)


def _profiles(reading: Reading, uses: list[ProfileUse]) -> Grid:
    weight = Basis("1", "depth weight of the profile", "exact", ("run.json",), "settings.profiles")
    blocks = reading.records.begin.blocks
    fields = (
        Field("profile", "depth profile"),
        *(Field(f"block_{n}", block, "weight", weight) for n, block in enumerate(blocks)),
        Field("visits", "visits", "integer",
              counted("visits", "grouped by profile", "visits", "decisions/distinct"), adds=True),
    )  # fmt: skip
    rows = tuple(
        (
            use.profile,
            *(use.weights[n] if n < len(use.weights) else None for n in range(len(blocks))),
            use.visits,
        )
        for use in uses
    )
    total = ("all visits", *[None] * len(blocks), sum(use.visits for use in uses))
    return Grid(
        "profiles",
        "Depth profiles in force: weight of each block",
        fields,
        rows,
        total=total,
        note="1 lets an example's direct gradient into the block, 0 keeps it out exactly.",
    )


def heat(grid: Grid, columns: tuple[str, ...], what: str) -> Chart:
    """Return the picture of a grid by depth."""
    return Chart(
        "heat",
        f"{what} by depth, share of each block's change",
        f"Heat map: one row per {what.lower()}, one column per block from input to output; each "
        "cell is the share of that block's change, in percent.",
        grid,
        columns,
        is_grid_beside=True,
    )
