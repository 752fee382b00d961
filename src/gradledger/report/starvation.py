"""Chapter: parameter groups that got too little signal."""

from __future__ import annotations

import math
from statistics import median
from typing import Final

from gradledger.query.signals import Signal
from gradledger.report.evidence import Basis, Field, Figure, Grid, Section, Value, Verdict
from gradledger.report.reading import Reading, counted

#: A group is starved where fewer visits than this part act on it ...
ACTING: Final = 0.5
#: ... or where its typical gradient per parameter is this part of the median over groups.
QUIET: Final = 0.01

_METHOD: Final = (
    "median gradient norm of the visits acting on the group over the square root of its "
    "parameters, relative to the median of the same over groups"
)


def starvation(reading: Reading) -> tuple[Section, tuple[Verdict, ...], dict[str, Figure]]:
    """Return the chapter, its verdict and its figures for the gate."""
    title, question = "Starvation", "Every parameter group gets signal"
    groups = reading.normed_groups
    if not groups:
        words = "The recording level holds no gradient norms: nothing can be said."
        absent = Verdict("starvation", question, "not known", words)
        return Section("starvation", title, (words,)), (absent,), {}
    signals = reading.signals
    sizes = {group.group: group.num_parameters for group in reading.matched.groups}
    names = {group.group: group.name for group in reading.matched.groups}
    levels = {signal.group: _level(signal, sizes[signal.group]) for signal in signals}
    middle = median([level for level in levels.values() if level] or [0.0])
    relative = Basis("1", _METHOD, "estimated", ("visits", "run.json"), "per parameter group")
    acting = counted("1", "visits with a gradient other than 0 over all visits", "visits")
    quiet = counted("steps", "steps in which no visit acts on the group", "visits")
    rows: list[tuple[Value, ...]] = []
    starved = 0
    for signal in signals:
        part = signal.acting / signal.visits if signal.visits else None
        level = levels[signal.group] / middle if middle else None
        is_starved = part is None or part < ACTING or level is None or level < QUIET
        starved += is_starved
        rows.append((names[signal.group], part, signal.quiet_steps, level,
                     "starved" if is_starved else ""))  # fmt: skip
    basis = Basis(
        "groups", "groups below a threshold", "estimated", ("visits", "run.json"),
        f"fewer than {ACTING:.0%} of visits act, or relative signal below {QUIET:g}",
    )  # fmt: skip
    gauges = {
        "starved-groups": Figure("starved-groups", "parameter groups with too little signal",
                                 starved, basis, "integer")
    }  # fmt: skip
    grid = Grid(
        "starvation",
        "Signal by parameter group, quietest first",
        (
            Field("group", "parameter group"),
            Field("acting", "visits that act", "share", acting),
            Field("quiet", "silent steps", "integer", quiet),
            Field("level", "relative signal", "number", relative),
            Field("verdict", ""),
        ),
        tuple(sorted(rows, key=_quietest)),
    )
    verdict = Verdict(
        "starvation",
        question,
        "no" if starved else "yes",
        f"{starved:,} of {len(rows):,} get too little: fewer than {ACTING:.0%} of the visits act "
        f"there, or the signal is below {QUIET:g} of the median."
        if starved
        else f"All {len(rows):,} do.",
    )
    section = Section("starvation", title, (), tuple(gauges.values()), (), (grid,))
    return section, (verdict,), gauges


def _level(signal: Signal, num_parameters: int) -> float:
    return (signal.median or 0.0) / math.sqrt(num_parameters) if num_parameters else 0.0


def _quietest(row: tuple[Value, ...]) -> tuple[float, float]:
    acting, level = row[1], row[3]
    return (
        float(acting) if isinstance(acting, int | float) else -1.0,
        float(level) if isinstance(level, int | float) else -1.0,
    )
