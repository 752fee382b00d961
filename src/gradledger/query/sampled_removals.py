"""How well estimates agree with executed removals of sampled examples.

The sample is drawn among the examples that were presented, spread over strata in proportion, and
depends on the seed and the record alone. Agreement is Spearman's rank correlation over the sample,
with a bootstrap interval; it is that of small removals, one example each.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from gradledger.canon import parse_json
from gradledger.errors import GradledgerError, QueryError
from gradledger.query.agreement import spearman
from gradledger.query.answer import Answer, Column, Table
from gradledger.query.estimate import Estimate
from gradledger.query.estimators import ESTIMATORS
from gradledger.query.records import Records
from gradledger.query.replays import replays_folder
from gradledger.query.selection import key_of
from gradledger.schema import Remove

CHECK_FILE: Final = "check.json"
CHECK_FORMAT: Final = "gradledger.replay-check/1"
#: The change of the whole model along its displacement, as something observed.
ALONG: Final = "change of the model, along D"

_RESAMPLES: Final = 2000
_LOW, _HIGH = 2.5, 97.5


@dataclass(frozen=True)
class Sampled:
    """One sampled example.

    Attributes:
        example: Its number.
        stratum: Where it was drawn from.
    """

    example: int
    stratum: str


def draw_examples(records: Records, count: int, seed: int, strata: str) -> list[Sampled]:
    """Draw presented examples, spread over strata in proportion to their examples.

    Args:
        records: The run.
        count: How many; all of them where there are fewer.
        seed: Of the draw.
        strata: Column, as in ``trace(by=...)``.

    Raises:
        QueryError: Q105 no such column, Q108 nothing was presented, Q110 a count below 2.
    """
    if count < 2:  # noqa: PLR2004 - one pair has no rank correlation
        raise QueryError(
            "Q110", observed=f"{count} removals", expected="at least 2", where="whatif --check"
        )
    key = key_of(records, strata)
    rows = records.ask(
        f"SELECT a.example, any_value(CAST({key.expression} AS VARCHAR)) FROM "
        "(SELECT DISTINCT example, decision FROM visits) a "
        f"{key.joins} GROUP BY 1 ORDER BY 1"
    )
    of_stratum: dict[str, list[int]] = defaultdict(list)
    for example, stratum in rows:
        of_stratum["not recorded" if stratum is None else str(stratum)].append(int(example))
    if not rows:
        raise QueryError(
            "Q108", observed="no visits", expected="a run with steps", where=str(records.path)
        )
    generator, found = random.Random(seed), []  # noqa: S311 - a sample that anybody can repeat
    for stratum, quota in _quotas(of_stratum, min(count, len(rows))).items():
        chosen = generator.sample(of_stratum[stratum], quota)
        found += [Sampled(example, stratum) for example in sorted(chosen)]
    return sorted(found, key=lambda item: item.example)


def _quotas(of_stratum: Mapping[str, Sequence[int]], count: int) -> dict[str, int]:
    """Return what every stratum gives: proportions, with the largest remainders rounded up."""
    whole = sum(len(examples) for examples in of_stratum.values())
    exact = {name: count * len(of_stratum[name]) / whole for name in sorted(of_stratum)}
    quotas = {name: int(value) for name, value in exact.items()}
    remainders = sorted(exact, key=lambda name: (quotas[name] - exact[name], name))
    for name in remainders[: count - sum(quotas.values())]:
        quotas[name] += 1
    return quotas


def agreement(
    records: Records,
    sampled: Sequence[Sampled],
    results: Sequence[Mapping[str, Any]],
    seed: int,
) -> tuple[Answer, dict[str, Any]]:
    """Compare estimates with the executed removals of a sample.

    Args:
        records: The run.
        sampled: The examples.
        results: The result of the removal of each.
        seed: Of the bootstrap.

    Returns:
        The answer: tables ``agreement`` and ``removals``; and a record of the agreement to keep.
    """
    executed = [_executed(result) for result in results]
    observed = sorted({name for found in executed for name in found}, key=lambda n: (n != ALONG, n))
    rows: list[tuple[Any, ...]] = []
    pairs: list[tuple[Any, ...]] = []
    for name, estimator in ESTIMATORS.items():
        estimates = [_estimated(records, name, item.example) for item in sampled]
        if all(value is None for said in estimates for value in said.values()):
            continue  # Nothing is stored that this estimator could answer from.
        for what in observed:
            both: list[tuple[float, float]] = []
            for truth, said in zip(executed, estimates, strict=True):
                pair = truth.get(what), said.get(what)
                if pair[0] is not None and pair[1] is not None:
                    both.append((pair[0], pair[1]))
            rank, low, high = bootstrap(both, seed)
            rows.append((name, estimator.kind, what, rank, low, high, len(both)))
            pairs += [
                (item.example, item.stratum, what, name, truth.get(what), said.get(what))
                for item, truth, said in zip(sampled, executed, estimates, strict=True)
            ]
    kept = {
        "format": CHECK_FORMAT,
        "run_id": records.begin.run_id,
        "num_removals": len(sampled),
        "seed": seed,
        "agreement": [
            dict(zip(("how", "kind", "observed", "spearman", "low", "high", "pairs"), row,
                     strict=True)) for row in rows
        ],
    }  # fmt: skip
    return _answer(rows, pairs, len(sampled), seed), kept


def bootstrap(
    pairs: Sequence[tuple[float, float]], seed: int
) -> tuple[float | None, float | None, float | None]:
    """Return Spearman's correlation of pairs and the ends of its 95 % bootstrap interval.

    Source:
        Efron (1979), percentile interval over resampled pairs.
    """
    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    rank = spearman(first, second)
    if rank is None:
        return None, None, None
    generator, values = np.random.default_rng(seed), []
    for _ in range(_RESAMPLES):
        places = generator.integers(0, len(pairs), len(pairs)).tolist()
        again = spearman([first[n] for n in places], [second[n] for n in places])
        if again is not None:
            values.append(again)
    low, high = np.percentile(values, [_LOW, _HIGH])
    return rank, float(low), float(high)


def stored_check(records: Records) -> dict[str, dict[str, Any]]:
    """Return the last check of a run: estimator -> its agreement along D; empty without one."""
    place = replays_folder(records.path) / CHECK_FILE
    try:
        record: Any = parse_json(place.read_bytes(), str(place))
        if record["format"] != CHECK_FORMAT or record["run_id"] != records.begin.run_id:
            return {}
        return {row["how"]: row for row in record["agreement"] if row["observed"] == ALONG}
    except (OSError, GradledgerError, KeyError, TypeError):
        return {}


def check_place(records: Records) -> Path:
    """Return where the last check of a run lies: beside it."""
    return replays_folder(records.path) / CHECK_FILE


def _executed(result: Mapping[str, Any]) -> dict[str, float | None]:
    whole = sum(row["displacement"] ** 2 for row in result["groups"])
    dot = sum(row["dot"] for row in result["groups"])
    found: dict[str, float | None] = {ALONG: dot / whole if whole else None}
    for name, values in result["observations"].items():
        before, after = values["recorded"], values["executed"]
        found[name] = None if before is None or after is None else after - before
    return found


def _estimated(records: Records, how: str, example: int) -> dict[str, float | None]:
    estimator, removal = ESTIMATORS[how], Remove((example,))
    groups = list(estimator.groups(records, removal).values())
    found: dict[str, float | None] = {ALONG: Estimate.joined(groups).share if groups else None}
    return {**found, **estimator.probes(records, removal)}


def _answer(
    rows: Sequence[tuple[Any, ...]], pairs: Sequence[tuple[Any, ...]], count: int, seed: int
) -> Answer:
    columns = (
        Column("how", "how"),
        Column("kind", "kind"),
        Column("observed", "of what", wraps=True),
        Column("spearman", "Spearman", "number"),
        Column("low", "2.5 %", "number"),
        Column("high", "97.5 %", "number"),
        Column("pairs", "removals", "integer"),
    )
    heads = (
        Column("example", "example", "integer"),
        Column("stratum", "stratum"),
        Column("observed", "of what"),
        Column("how", "how"),
        Column("executed", "executed", "number"),
        Column("estimated", "estimated", "number"),
    )
    known = tuple(row for row in rows if row[-1])
    return Answer(
        question="whatif",
        title=f"How well estimates agree with {count} executed removals",
        kind="truth",
        measure="executed replays",
        facts={"removals": count, "seed": seed},
        tables=(
            Table("agreement", "Rank agreement over the sample", columns, known),
            Table("removals", "Every removal", heads, tuple(pairs), in_text=False),
        ),
        notes=(
            f"Spearman's rank correlation; 95 % interval from {_RESAMPLES} resamples of the pairs",
            "of removals of one presented example each; larger selections may agree otherwise",
            *(["no estimate to compare with: the run is not settled"] if not known else []),
        ),
    )
