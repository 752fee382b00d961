"""What is shown of an erasure that was executed and certified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradledger.evidence import ERASURE_LIMITS, Certified, Remains, Request
from gradledger.log import SigningKey
from gradledger.query import Answer, Column, Table


def erasure_answer(
    done: Certified,
    request: Request,
    remains: Remains,
    denied: Sequence[Path],
    signer: SigningKey,
) -> Answer:
    """Return what an erasure came to: the certificate's facts, probes, and what remains.

    Args:
        done: The certificate.
        request: What was asked for.
        remains: What is left elsewhere.
        denied: The lists that later admissions deny by.
        signer: The key that signed.
    """
    predicate = done.record["predicate"]
    replay, model = predicate["replay"], predicate["model"]
    first = replay["first_affected_step"]
    facts: dict[str, Any] = {
        "examples erased": len(request.rows),
        "visits without them": replay["num_affected_visits"],
        "model differs from step": "none: they were never presented" if first is None else first,
        "executed from the state after step": replay["start_step"],
        "model": str(done.model),
        "digest of the model": model["final_sha256"],
        "certificate": str(done.path),
        "leaf of the log": done.leaf,
        "signed by": str(signer.verifier),
        "removed": len(done.removed),
    }
    if request.earlier:
        facts["erased earlier, and out of this model too"] = len(request.earlier)
    if denied:
        places = [str(place) for place in denied]
        facts["denied from now on by"] = places if len(places) > 1 else places[0]
    return Answer(
        question="erase",
        title=f"Erased: {request.words}",
        kind="truth",
        measure="executed replay",
        facts=facts,
        tables=(_probes_table(predicate), _remains_table(done, remains)),
        notes=ERASURE_LIMITS,
    )


def _probes_table(predicate: Mapping[str, Any]) -> Table:
    rows = []
    for probe in predicate["probes"]:
        before, after = (
            None if probe[side] is None else float(probe[side]) for side in ("recorded", "executed")
        )
        change = None if before is None or after is None else after - before
        rows.append((probe["name"], before, after, change))
    columns = (
        Column("name", "observed"),
        Column("recorded", "recorded run", "number"),
        Column("executed", "without them", "number"),
        Column("change", "change", "share"),
    )
    return Table("probes", "Behaviour: the two models", columns, tuple(rows))


def _remains_table(done: Certified, remains: Remains) -> Table:
    removed = frozenset(done.removed)
    rows: list[tuple[Any, ...]] = []
    for kind, names in (
        ("state", remains.states),
        ("model of a replay", remains.models),
    ):
        rows += [(kind, name, "removed" if name in removed else "still there") for name in names]
    rows += [("same content", f"example {n}", "still in the model") for n in remains.copies]
    for item in remains.runs:
        parts = [f"{len(item.examples)} examples, {item.num_visits} visits"]
        parts += ["descends from a state with them"] if item.descends else []
        rows.append(("other run", item.path, f"{'; '.join(parts)} (by {item.searched})"))
    columns = (
        Column("kind", "what"),
        Column("place", "where", wraps=True),
        Column("found", "found", wraps=True),
    )
    return Table("remains", "What remains elsewhere", columns, tuple(rows))
