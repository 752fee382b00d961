"""The begin and end records of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from gradledger.schema.group import Coverage, GroupRecord

FORMAT: Final = "gradledger.run/1"


@dataclass(frozen=True)
class RunBegin:
    """What was known before the first step; written once as ``run.json``.

    Attributes:
        format: Version of the layout on disk.
        run_id: Random identifier, 32 hex digits.
        created_at: ISO 8601 UTC.
        level: Recording level: ``decisions``, ``shares`` (or ``sketch``, later).
        on_imbalance: ``flag`` or ``strict``.
        groups: All parameter groups, then buffer groups.
        blocks: Block names from input to output.
        coverage: What is captured and what is not.
        optimizer: Family, class and settings of every optimizer param group.
        policy: Id, version and digest of the admission policy; empty where none was given.
        opening_balance: What the model was before the first step.
        seeds: Seeds that the caller named.
        environment: Versions, threads, device, determinism flags.
        settings: Every setting of the recorder.
        notes: Free text by the caller.
        log: Origin of the run's log, and the key that signs it (empty where nobody does).
    """

    format: str
    run_id: str
    created_at: str
    level: str
    on_imbalance: str
    groups: tuple[GroupRecord, ...]
    blocks: tuple[str, ...]
    coverage: Coverage
    optimizer: dict[str, Any]
    policy: dict[str, Any]
    opening_balance: dict[str, Any]
    seeds: dict[str, Any]
    environment: dict[str, Any]
    settings: dict[str, Any]
    notes: str = ""
    log: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunEnd:
    """Totals at the close; written once as ``end.json``.

    Attributes:
        closed_at: ISO 8601 UTC.
        num_steps: Optimizer steps booked.
        num_visits: Visits booked.
        final_digest: SHA-256 of the final model state, hex.
        balance: Largest residual and gap with their place, counts of verdicts.
        totals: Wall seconds, bytes, examples presented, ...
    """

    closed_at: str
    num_steps: int
    num_visits: int
    final_digest: str
    balance: dict[str, Any] = field(default_factory=dict)
    totals: dict[str, Any] = field(default_factory=dict)
