"""What another policy would have decided about the examples of a run, as an intervention.

Decisions are taken from the recorded attributes, at the recorded moment unless another is given.
What the other policy refuses is removed, what it admits under another profile is held to that.
Examples that only the other policy admits have no place in the recorded order: they are counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from gradledger.policy import Policy, decide, load_policy, resolve_profile
from gradledger.query.policy_simulate import FUNCTIONS
from gradledger.query.records import Records
from gradledger.schema import EXAMPLES, VERDICTS, Change, Remove, Reprofile, Together
from gradledger.segment import read_table


@dataclass(frozen=True)
class Redecided:
    """What another policy comes to.

    Attributes:
        intervention: The changes that it asks for.
        label: The policy, in words.
        counts: Verdict -> examples that were admitted and get it now; ``other profile`` those that
            stay admitted under another one, ``not replayed`` those that only it admits.
    """

    intervention: Together
    label: str
    counts: dict[str, int]


def decide_again(
    records: Records,
    policy: str | Path,
    *,
    now: datetime | None = None,
    within: Collection[int] | None = None,
) -> Redecided:
    """Decide the examples of a run by another policy.

    Args:
        records: The run.
        policy: The document.
        now: Moment of decision; by default that of the record.
        within: Examples that it is asked about; by default all.

    Raises:
        PolicyError: The policy cannot be read, names blocks that the model lacks, or reads
            attributes that were not recorded (P151).
    """
    loaded = load_policy(Path(policy))
    table = read_table(records.path, "decisions/examples")
    metadata = table.drop_columns([name for name in EXAMPLES if name in table.column_names])
    moment = now or _moment(records)
    decided = decide(loaded, metadata, moment, FUNCTIONS)
    numbers, codes = table["example"].to_pylist(), decided.code
    profiles = pa.array(decided.profiles).to_pylist()
    factual = _factual(records)
    counts: Counter[str] = Counter()
    refused, held = [], defaultdict(list)
    for number, code in zip(numbers, codes, strict=True):
        if within is not None and number not in within:
            continue
        before, verdict = factual[number], VERDICTS[decided.verdicts[code]]
        if before is None:
            counts["not replayed"] += verdict == "admit"
        elif verdict != "admit":
            counts[verdict] += 1
            refused.append(number)
        elif (weights := _weights(records, loaded, profiles[code])) != before:
            counts["other profile"] += 1
            held[weights].append(number)
    parts: list[Change] = [Remove(tuple(refused))] if refused else []
    parts += [Reprofile(tuple(held[weights]), weights) for weights in sorted(held)]
    label = f"{loaded.id}@{loaded.version}"
    origin = {"policy": label, "digest": loaded.digest, "now": moment.isoformat()}
    found = {name: counts[name] for name in sorted(counts) if counts[name]}
    return Redecided(Together(tuple(parts), origin), label, found)


def _weights(records: Records, policy: Policy, name: str) -> tuple[float, ...]:
    blocks = records.begin.blocks
    if name not in policy.profiles:
        return (1.0,) * len(blocks)
    return tuple(float(weight) for weight in resolve_profile(policy.profiles[name], blocks))


def _factual(records: Records) -> dict[int, tuple[float, ...] | None]:
    """Return the recorded weights of every example; None where it was not admitted."""
    full = (1.0,) * len(records.begin.blocks)
    rows = records.ask(
        "SELECT e.example, d.verdict, d.profile FROM examples e JOIN decisions d USING (decision)"
    )
    return {
        int(example): tuple(records.profiles.get(str(profile), full))
        if verdict == "admit"
        else None
        for example, verdict, profile in rows
    }


def _moment(records: Records) -> datetime:
    return datetime.fromisoformat(str(records.ask("SELECT min(decided_at) FROM decisions")[0][0]))
