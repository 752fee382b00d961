"""Chapter: what the model is. Opening balance, run, policy, coverage, environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradledger.report.evidence import Figure, Section
from gradledger.report.reading import Reading, counted, declared


def identity(reading: Reading) -> Section:
    """Return what was trained, from what, under which policy, and how much of it is covered."""
    return Section(
        "model",
        "What the model is",
        figures=(*_states(reading), *_run(reading), *_coverage(reading), *_environment(reading)),
    )


def policy_name(reading: Reading) -> str:
    """Return id and version of the run's policy; empty where it had none."""
    policy = reading.records.begin.policy
    return f"{policy.get('id', '')} {policy.get('version', '')}".strip() if policy else ""


def _states(reading: Reading) -> list[Figure]:
    begin, end = reading.records.begin, reading.records.end
    opening = begin.opening_balance
    stated = {key: value for key, value in opening.items() if key not in {"state", "state_digest"}}
    return [
        Figure(
            "opening_source",
            "opening balance",
            words_of(stated) or None,
            declared("what the model was before the first step"),
            "text",
        ),
        Figure(
            "opening_digest",
            "opening model state, SHA-256",
            opening.get("state_digest"),
            counted("hex", "digest in the begin record", "run.json", method="SHA-256"),
            "text",
        ),
        Figure(
            "final_digest",
            "final model state, SHA-256",
            end.final_digest if end else None,
            counted("hex", "digest in the end record", "end.json", method="SHA-256"),
            "text",
        ),
    ]


def _run(reading: Reading) -> list[Figure]:
    begin, end = reading.records.begin, reading.records.end
    recorded = counted("text", "begin record", "run.json", method="recorded")
    return [
        Figure("run_id", "run", begin.run_id, recorded, "text"),
        Figure("created_at", "begun", begin.created_at, recorded, "text"),
        Figure(
            "closed_at",
            "closed",
            end.closed_at if end else "not closed",
            counted("text", "end record", "end.json", method="recorded"),
            "text",
        ),
        Figure("level", "recording level", begin.level, recorded, "text"),
        Figure("policy", "policy", policy_name(reading) or "none", recorded, "text"),
        Figure(
            "policy_digest",
            "policy, SHA-256 of its canonical form",
            begin.policy.get("digest"),
            counted("hex", "begin record", "run.json", "policies", method="SHA-256"),
            "text",
        ),
        Figure(
            "optimizer",
            "optimizer",
            f"{begin.optimizer.get('class', '')} ({begin.optimizer.get('family', '')})",
            recorded,
            "text",
        ),
        Figure("seeds", "seeds", words_of(begin.seeds) or None, declared("seeds"), "text"),
        Figure("notes", "notes", begin.notes or None, declared("notes"), "text"),
    ]


def _coverage(reading: Reading) -> list[Figure]:
    coverage = reading.records.begin.coverage
    basis = counted("parameters", "elements of all tensors that the optimizer updates", "run.json")
    captured = counted("1", "captured over updated elements", "run.json")
    return [
        Figure("parameters", "parameters updated", coverage.num_updated, basis, "integer"),
        Figure("coverage", "of updated parameters have per-example capture",
               coverage.percent / 100.0, captured, "share"),
        Figure(
            "unattributed",
            "tensors without capture",
            ", ".join(name for name, _ in coverage.unattributed) or "none",
            counted("text", "coverage", "run.json", method="recorded"),
            "text",
        ),
        Figure(
            "blocks",
            "blocks, input to output",
            ", ".join(reading.units),
            counted("text", "blocks of the begin record", "run.json", method="recorded"),
            "text",
        ),
    ]  # fmt: skip


def _environment(reading: Reading) -> list[Figure]:
    wanted = ("python", "torch", "numpy", "platform", "devices", "deterministic_algorithms")
    held = reading.records.begin.environment
    basis = counted("text", "environment of the begin record", "run.json", method="recorded")
    found = {name: held[name] for name in wanted if name in held}
    return [Figure("environment", "environment", words_of(found) or None, basis, "text")]


def words_of(values: Mapping[str, Any]) -> str:
    """Return a mapping as words: ``python 3.11, torch 2.13``."""
    return ", ".join(f"{name.replace('_', ' ')} {_listed(value)}" for name, value in values.items())


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
