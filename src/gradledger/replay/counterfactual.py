"""What the model would be under an intervention: executed once, stored, and compared.

The result lies beside the run (``gradledger.query.replays`` says where) and holds figures alone;
the model that the replay ended in lies beside it as safetensors.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from gradledger.errors import ReplayError
from gradledger.query.records import Records
from gradledger.query.replays import (
    MODEL_FILE,
    RESULT_FILE,
    RESULT_FORMAT,
    identity,
    result_folder,
    stored_result,
)
from gradledger.query.stored_states import group_vector, read_model
from gradledger.recorder.environment import read_environment
from gradledger.replay.intervene import Interventions, Progress, refuse_inexact
from gradledger.replay.loop import Observable, TrainingLoop, observe_model, write_texts
from gradledger.replay.machine import as_recorded
from gradledger.replay.recorded import RecordedRun
from gradledger.replay.rerun import execute
from gradledger.schema import Intervention
from gradledger.segment import make_folder, write_json
from gradledger.state.torch_state import model_digest, model_items, preserved_rng
from gradledger.state.weights_file import write_arrays


def counterfactual(
    records: Records,
    intervention: Intervention,
    loop: TrainingLoop,
    *,
    fresh: bool = False,
    start: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return the result of executing a run again under an intervention.

    The replay begins with the last stored state before the first affected visit; the empty
    intervention executes the whole run. What was executed before is answered from the stored
    result; figures and texts of the model that are asked for are evaluated anew in any case.

    Args:
        records: The closed run.
        intervention: What is done, to which examples.
        loop: Builds, trains and observes.
        fresh: Execute again although a result is stored.
        start: Step of the stored state to begin with in place of that one; 0 for the opening state.
        progress: Called after every step.

    Returns:
        What ``result.json`` holds.

    Raises:
        ReplayError: The run cannot be executed again (R101 to R105, R141, R142), the intervention
            would not be exact (R131, R132, R151 to R154), the state comes too late for it (R156),
            or a stored result is damaged (R136).
        QueryError: The run was not closed. Code Q133.
    """
    run = RecordedRun(records.path)
    refuse_inexact(run, intervention)
    folder = result_folder(records, intervention)
    result = None if fresh else stored_result(records, intervention)
    with ExitStack() as stack:
        stack.enter_context(as_recorded(run.begin["environment"]))
        stack.enter_context(preserved_rng())
        if result is None or not (folder / MODEL_FILE).exists():
            result = _execute(records, run, intervention, loop, start, progress)
        figures = loop.observables(intervention.examples)
        if figures:
            result["observations"] = _observe(run, loop, folder, figures)
        if loop.generate:
            result["texts"] = _write(run, loop, folder)
        write_json(folder / RESULT_FILE, result)
    return result


def _execute(
    records: Records,
    run: RecordedRun,
    intervention: Intervention,
    loop: TrainingLoop,
    start: int | None,
    progress: Progress | None,
) -> dict[str, Any]:
    """Train, store the model, and measure how far it is from the recorded one."""
    started, folder = time.perf_counter(), result_folder(records, intervention)
    journal = Interventions(run, intervention, progress)
    # Rows are probed only where visits are measured; the level "decisions" never probed them.
    probe = run.begin["level"] == "decisions" and bool(journal.plan.weights)
    begun = _start(run, journal, intervention, start)
    model = execute(run, loop.build, loop.train, journal, start=begun, measure_visits=probe)
    digest = model_digest(model)
    _expect_recorded_end(run, records, journal, digest)
    make_folder(folder)
    write_arrays(folder / MODEL_FILE, dict(model_items(model)), {"format": "pt"})
    return {
        "format": RESULT_FORMAT,
        **identity(records),
        "intervention": intervention.to_dict(),
        "executed_at": datetime.now(UTC).isoformat(),
        "wall_seconds": time.perf_counter() - started,
        "environment": read_environment(model),
        "start_step": begun,
        "num_steps": run.num_steps,
        "num_identical_steps": journal.num_identical,
        "first_affected_step": journal.first_affected,
        "first_different_step": journal.first_different,
        "first_other_rng_step": journal.first_other_rng,
        "num_rates_set": journal.num_rates_set,
        "num_affected_examples": len(journal.plan.examples),
        "num_affected_visits": journal.plan.num_visits,
        "num_rescaled_visits": journal.plan.num_rescaled,
        "final_digest": digest,
        "final_fingerprint": journal.final_fingerprint,
        "factual_model": "stored" if _is_there(run) else "removed",
        "groups": _compare_groups(records, run, folder),
        "observations": {},
        "texts": {},
    }


def _start(
    run: RecordedRun, journal: Interventions, intervention: Intervention, asked: int | None
) -> int:
    """Return the step of the state to begin with."""
    first = journal.first_affected
    if asked is not None:
        if first is not None and asked >= first:
            raise ReplayError(
                "R156",
                observed=f"the state after step {asked}",
                expected=f"one before the first affected visit, in step {first}",
                where=str(run.run_dir),
                hint="leave the choice of the state to the replay",
            )
        return asked
    if first is not None:
        return run.last_state_before(first)
    # Nobody affected: the last stretch shows that the machine still gives the recorded end.
    return run.last_state_before(run.num_steps) if intervention.examples else 0


def _expect_recorded_end(
    run: RecordedRun, records: Records, journal: Interventions, digest: str
) -> None:
    """Without an affected visit the final model must be the recorded one."""
    recorded = identity(records)["run_final_digest"]
    if journal.first_affected is None and digest != recorded:
        raise ReplayError(
            "R103",
            observed=f"final model {digest[:16]}",
            expected=f"{recorded[:16]}, as recorded",
            where=str(run.run_dir),
            hint="change the model inside run.step only",
        )


def _compare_groups(records: Records, run: RecordedRun, folder: Path) -> list[dict[str, Any]]:
    """Return, per group, the distance of the two models and what it has of the displacement.

    Nothing where an erasure removed the recorded model.
    """
    if not _is_there(run):
        return []
    opening = read_model(run.state_dir(0) / MODEL_FILE)
    factual = read_model(run.state_dir(run.num_steps) / MODEL_FILE)
    other = read_model(folder / MODEL_FILE)
    rows = []
    for group in records.begin.groups:
        start, end = group_vector(opening, group), group_vector(factual, group)
        change = group_vector(other, group) - end
        rows.append(
            {
                "group": group.group,
                "distance": float(np.linalg.norm(change)),
                "displacement": float(np.linalg.norm(end - start)),
                "dot": float(change @ (end - start)),
            }
        )
    return rows


def _observe(
    run: RecordedRun, loop: TrainingLoop, folder: Path, figures: Mapping[str, Observable]
) -> dict[str, dict[str, float | None]]:
    """Evaluate figures on the recorded and on the other model."""
    recorded: Mapping[str, float] = {}
    if _is_there(run):
        recorded = observe_model(loop.build, run.state_dir(run.num_steps) / MODEL_FILE, figures)
    other = observe_model(loop.build, folder / MODEL_FILE, figures)
    return {
        name: {
            "recorded": _finite(recorded[name]) if name in recorded else None,
            "executed": _finite(other[name]),
        }
        for name in figures
    }


def _write(run: RecordedRun, loop: TrainingLoop, folder: Path) -> dict[str, dict[str, str]]:
    """Let the recorded and the other model write."""
    recorded: Mapping[str, str] = {}
    if _is_there(run):
        recorded = write_texts(loop.build, run.state_dir(run.num_steps) / MODEL_FILE, loop.generate)
    other = write_texts(loop.build, folder / MODEL_FILE, loop.generate)
    return {
        prompt: {"recorded": recorded.get(prompt, ""), "executed": other[prompt]}
        for prompt in loop.generate
    }


def _is_there(run: RecordedRun) -> bool:
    """Whether the recorded model is stored; an erasure may have removed it."""
    return (run.run_dir / "states" / f"step={run.num_steps}" / MODEL_FILE).exists()


def _finite(value: float) -> float | None:
    """Return a number that JSON knows."""
    return value if np.isfinite(value) else None
