"""Decisions, taken again from the policy's text and the recorded attributes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from gradledger.errors import GradledgerError, PolicyError
from gradledger.policy import Policy, decide, load_policy, resolve_profile
from gradledger.rights import satisfies
from gradledger.schema import EXAMPLES
from gradledger.segment import read_json, read_segment
from gradledger.verify.finding import Finding
from gradledger.verify.recorded import Recorded

#: Profile that is in force without any policy.
_FULL: Final = "full"
#: Class of what was denied because it was erased.
_ERASED_CLASS: Final = "erased"


def check_admission(found: Recorded) -> Iterator[Finding]:
    """Check every decision, and the depth profiles, against the policy in force."""
    policy = None
    named = found.begin["policy"]
    if named:
        place = f"policies/{named['digest']}.yaml"
        try:
            policy = load_policy(found.run_dir / place)
        except PolicyError as error:
            yield Finding("V602", place, error.observed, "the policy's text")
            return
        if (policy.digest, policy.id) != (named["digest"], named["id"]):
            observed = f"policy {policy.id}, digest {policy.digest}"
            yield Finding("V602", place, observed, f"{named['id']}, {named['digest']}")
            return
        yield from _profiles(found, policy)
    for path in sorted((found.run_dir / "decisions").glob("admission-*.json")):
        record = read_json(path)
        name = path.relative_to(found.run_dir).as_posix()
        yield from _admission(found, policy, record, name)


def _profiles(found: Recorded, policy: Policy) -> Iterator[Finding]:
    recorded = found.begin["settings"]["profiles"]
    for name, profile in policy.profiles.items():
        weights = [float(value) for value in resolve_profile(profile, found.begin["blocks"])]
        if name != _FULL and recorded.get(name) != weights:
            observed = f"profile {name!r} with the weights {recorded.get(name)}"
            yield Finding("V702", "run.json", f"{observed:.200}", f"{weights}, as the policy says")


def _admission(
    found: Recorded, policy: Policy | None, record: dict[str, Any], name: str
) -> Iterator[Finding]:
    tables = {part.rpartition("/")[0]: part for part in record["segments"]}
    examples = read_segment(found.run_dir / tables["decisions/examples"])
    distinct = read_segment(found.run_dir / tables["decisions/distinct"])
    counts = (examples.num_rows, distinct.num_rows)
    if counts != (record["num_examples"], record["num_decisions"]):
        expected = f"{record['num_examples']} and {record['num_decisions']}"
        yield Finding("V404", name, f"{counts[0]} examples, {counts[1]} decisions", expected)
        return
    if policy is None:
        return
    metadata = examples.drop_columns([item for item in EXAMPLES if item in examples.column_names])
    moment = datetime.fromisoformat(str(distinct["decided_at"][0].as_py()))
    try:
        decided = decide(policy, metadata, moment, {"spdx_satisfies": satisfies})
    except GradledgerError as error:
        # An attribute that was erased cannot be judged again; nothing is wrong with the record.
        yield Finding("V905", name, error.observed, "every attribute that the policy reads")
        return
    first = record["first_decision"]
    again = {"decision": pa.array(range(first, first + len(decided)), pa.int32())}
    # Denials of what was erased follow the policy's decisions: they can only take away.
    ruled, denied = distinct.slice(0, len(decided)), distinct.slice(len(decided))
    yield from _compare(ruled, {**again, **decided.columns()}, tables["decisions/distinct"])
    yield from _erased(denied, first + len(decided), tables["decisions/distinct"])
    taken = examples["decision"].to_numpy() >= first + len(decided)
    codes = decided.code.astype("int32") + first
    codes[taken] = examples["decision"].to_numpy()[taken]
    yield from _compare(examples, {"decision": pa.array(codes)}, tables["decisions/examples"])
    if "decisions/truths" in tables:
        truths = read_segment(found.run_dir / tables["decisions/truths"])
        yield from _compare(truths, decided.truth_columns(), tables["decisions/truths"])


def _erased(denied: pa.Table, first: int, place: str) -> Iterator[Finding]:
    """Check that decisions which no policy made are denials of what was erased."""
    for number, row in enumerate(denied.to_pylist(), first):
        said = (row["decision"], row["verdict"], row["class"])
        if said != (number, "deny", _ERASED_CLASS):
            observed = f"decision {said[0]}: {said[1]}, class {said[2]}"
            expected = f"decision {number}, a denial of what was erased"
            yield Finding("V601", place, observed, expected)


def _compare(recorded: pa.Table, again: dict[str, Any], place: str) -> Iterator[Finding]:
    """Name the first row that differs, of every column."""
    for name, column in again.items():
        then = recorded[name].to_pylist()
        now = column.to_pylist() if hasattr(column, "to_pylist") else list(column)
        if now == then:
            continue
        row = next(
            (n for n, (a, b) in enumerate(zip(then, now, strict=False)) if a != b),
            min(len(then), len(now)),
        )
        found = f"{name} {then[row]!r:.120}" if row < len(then) else "no row"
        expected = f"{now[row]!r:.120}, by the policy's text" if row < len(now) else "no row"
        yield Finding("V601", f"{place}, row {row}", found, expected)
