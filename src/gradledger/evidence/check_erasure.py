"""Check certificates of erasure: by themselves, and against the run and the log they lie in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gradledger.canon import record_digest
from gradledger.errors import GradledgerError, LogError
from gradledger.evidence.certificate import ERASURE_TYPE
from gradledger.evidence.dsse import Envelope
from gradledger.evidence.erasure import ERASED_EXAMPLES, ERASED_STATE
from gradledger.evidence.logged import LoggedRun
from gradledger.query import inert
from gradledger.schema import ErasureLeaf
from gradledger.segment import read_json, read_table
from gradledger.verify import Finding


def erasure_objections(record: Mapping[str, Any]) -> list[str]:
    """Return why a statement is no certificate that fits itself; empty where it is one."""
    try:
        return list(_objections(record))
    except (KeyError, TypeError, ValueError, AttributeError, GradledgerError) as error:
        return [f"a member that lacks or is malformed: {error}"[:200]]


def _objections(record: Mapping[str, Any]) -> Iterator[str]:
    yield from _selection_objections(record["predicate"])
    yield from _replay_objections(record["predicate"])
    predicate = record["predicate"]
    model = predicate["model"]
    if record["subject"][-1]["digest"].get("sha256") != model["file_sha256"]:
        yield "another model than its subject"
    if model["same_as_recorded"] != (model["final_sha256"] == predicate["run"]["final_sha256"]):
        yield "another answer to whether the model changed than its digests give"
    if not set(predicate["removed"]) <= {
        *predicate["remains"]["states"],
        *predicate["remains"]["models"],
    }:
        yield "something removed that is not listed"


def _selection_objections(predicate: Mapping[str, Any]) -> Iterator[str]:
    replay = predicate["replay"]
    intervention = replay["intervention"]
    if record_digest("intervention/1", intervention) != replay["intervention_sha256"]:
        yield "another intervention than its digest"
    erased = [item["example"] for item in predicate["erased"]]
    if not erased:
        yield "nothing that is erased"
    if intervention["operation"] != "remove" or "steps" in intervention:
        yield "an intervention that is no removal from the whole run"
    elif intervention["examples"] != sorted({*erased, *predicate["request"]["earlier"]}):
        yield "other examples than are said to be erased"


def _replay_objections(predicate: Mapping[str, Any]) -> Iterator[str]:
    model, replay = predicate["model"], predicate["replay"]
    first, start = replay["first_affected_step"], replay["start_step"]
    identical = replay["num_identical_steps"]
    if first is not None and not 0 <= start <= identical < first:
        yield f"a replay from step {start}, compared up to {identical}, affected in step {first}"
    if first is None and identical != replay["num_steps"]:
        yield "a replay without an affected visit that was not compared to its end"
    if first is None and not model["same_as_recorded"]:
        yield "another model although no visit was affected"


def check_erasures(run_dir: Path) -> list[Finding]:
    """Check every certificate of erasure in the log of a run against its records.

    Args:
        run_dir: The run.

    Raises:
        StorageError: A file cannot be read, so that nothing can be said. Code S113.
    """
    run_dir, findings = Path(run_dir), list[Finding]()
    try:
        logged = LoggedRun(run_dir)
    except GradledgerError:
        return []  # the checks of the log name what is wrong with it
    removed: set[str] = set()
    for index, leaf in logged.of_kind(ErasureLeaf):
        if leaf.what == ERASED_STATE:
            removed.add(leaf.scope)
        elif leaf.what == ERASED_EXAMPLES:
            findings += _certificate(logged, index, leaf)
    for name in sorted(removed):
        if (run_dir / name).exists():
            expected = "nothing: the log says that an erasure removed it"
            findings.append(Finding("V893", name, "a file or folder", expected))
    return findings


def erased_before(run_dir: Path) -> tuple[int, ...]:
    """Return the examples that certificates in the log of a run took out, ascending.

    Raises:
        LogError: The run has no log (L132), or a certificate in it cannot be read (L183).
    """
    logged, found = LoggedRun(run_dir), set[int]()
    for index, leaf in logged.of_kind(ErasureLeaf):
        if leaf.what != ERASED_EXAMPLES:
            continue
        wrong = [item for item in _certificate(logged, index, leaf) if not item.is_notice]
        if wrong:
            raise LogError(
                "L183",
                observed=str(wrong[0])[:300],
                expected="certificates of earlier erasures that hold: the model must lack theirs",
                where=str(run_dir),
                hint="restore the certificate from a copy",
            )
        record = Envelope.parse((run_dir / leaf.files[0].path).read_bytes()).statement()
        found |= {int(item["example"]) for item in record["predicate"]["erased"]}
    return tuple(sorted(found))


def _certificate(logged: LoggedRun, index: int, leaf: ErasureLeaf) -> Iterator[Finding]:
    place = leaf.files[0].path if len(leaf.files) == 1 else f"leaf {index}"
    try:
        envelope = Envelope.parse((logged.run_dir / place).read_bytes())
        record = envelope.statement()
    except OSError:
        yield Finding("V890", place, "no file", "the certificate that the leaf names")
        return
    except GradledgerError as error:
        yield Finding("V890", place, error.observed, error.expected)
        return
    if record["predicateType"] != ERASURE_TYPE:
        yield Finding("V890", place, inert(record["predicateType"]), ERASURE_TYPE)
        return
    objections = erasure_objections(record)
    for objection in objections:
        yield Finding("V890", place, objection, "a certificate that fits itself")
    keys = logged.reader.description.keys
    if keys and not envelope.signers(keys):
        expected = f"signed by {' or '.join(str(key) for key in keys)}"
        yield Finding("V892", place, "no signature by a key of the log", expected)
    if not objections:
        yield from _against_record(logged, index, place, record["predicate"])


def _against_record(
    logged: LoggedRun, index: int, place: str, predicate: Mapping[str, Any]
) -> Iterator[Finding]:
    """Compare what a certificate says of the run with what the run says."""
    run_dir = logged.run_dir
    end = read_json(run_dir / "end.json") if (run_dir / "end.json").is_file() else {}
    said = {
        "run_id": (predicate["run"]["run_id"], read_json(run_dir / "run.json")["run_id"]),
        "final_sha256": (predicate["run"]["final_sha256"], end.get("final_digest")),
        "num_steps": (predicate["replay"]["num_steps"], end.get("num_steps")),
        "leaf": (predicate.get("log", {}).get("leaf"), index),
        "first_affected_step": (
            predicate["replay"]["first_affected_step"],
            _first_step(run_dir, predicate["replay"]["intervention"]["examples"]),
        ),
    }
    for name, (found, expected) in said.items():
        if found != expected:
            yield Finding("V891", place, f"{name} {found}", f"{expected}, as recorded")
    columns = ["example", "example_id", "content"]
    rows = {
        row["example"]: row
        for row in read_table(run_dir, "decisions/examples", columns).to_pylist()
    }
    for row in predicate["erased"]:
        recorded = rows.get(row["example"])
        if recorded is None or any(recorded[name] != row.get(name) for name in columns):
            yield Finding(
                "V891", place, f"example {row['example']}", "number, identifier and commitment of "
                "an example, as recorded"
            )  # fmt: skip


def _first_step(run_dir: Path, examples: list[int]) -> int | None:
    wanted = frozenset(examples)
    visits = read_table(run_dir, "visits", ["step", "example"]).to_pydict()
    pairs = zip(visits["step"], visits["example"], strict=True)
    return min((step for step, example in pairs if example in wanted), default=None)
