"""Interventions that change nothing give the run; from the middle they end as from the start.

Caveat: the demonstration's data and model of the tiny size, every tensor compared bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import torch
from benchmarks.bench_replay_removals import record
from benchmarks.figure import Figure, NotMeasurableError

from gradledger.demo.data import load_demo_data
from gradledger.demo.manifest import default_cache
from gradledger.demo.replay import training_of
from gradledger.demo.train import Training
from gradledger.errors import StorageError
from gradledger.query import MODEL_FILE, open_records, resolve, result_folder
from gradledger.replay import TrainingLoop, counterfactual

#: Interventions that differ from the run, each also executed from the start.
CHANGES: Final[tuple[list[dict[str, Any]], ...]] = (
    [{"remove": {"class": "weak-copyleft"}, "steps": (21, 40)}],
    [{"renormalise": {"class": "weak-copyleft"}, "steps": (15, 30)}],
    [{"reweight": {"class": "attribution"}, "factor": 0.5, "steps": (30, 40)}],
    [{"reprofile": {"class": "open-permissive"}, "profile": "output-only", "steps": (12, 40)}],
    [{"remove": {"class": "test-code"}}, {"reweight": {"class": "attribution"}, "factor": 2.0}],
)


def measure() -> list[Figure]:
    """Count interventions that end in the bits that they must end in."""
    try:
        data = load_demo_data("tiny", default_cache())
    except StorageError as error:
        raise NotMeasurableError(str(error)) from error
    with TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        training = training_of(data, torch.float32)
        record(run_dir, training, 10, policy=data.policy_path)
        same, of_same = identities(run_dir, training)
        equal, of_equal = middle_equals_start(run_dir, training)
    return [
        Figure("replay.identities", same / of_same, "share of the interventions", "equal", 1.0,
               caveat=f"{of_same} interventions, the whole run executed each time"),
        Figure("replay.mid_equals_scratch", equal / of_equal, "share of the interventions",
               "equal", 1.0, caveat=f"{of_equal} interventions, final models bit for bit"),
    ]  # fmt: skip


def identities(run_dir: Path, training: Training) -> tuple[int, int]:
    """Return how many interventions that change nothing end in the recorded bits; of how many."""
    records = open_records(run_dir)
    loop = TrainingLoop(training.build, training.run)
    try:
        profiles = [
            str(row[0]) for row in records.ask(
                "SELECT DISTINCT profile FROM decisions WHERE verdict = 'admit' ORDER BY 1"
            )
        ]  # fmt: skip
        first = int(records.ask("SELECT min(example) FROM visits")[0][0])
        asked: list[list[dict[str, Any]]] = [
            *([{"reprofile": {"profile": name}, "profile": name}] for name in profiles),
            [{"reweight": {"verdict": "admit"}, "factor": 1.0}],
            [{"substitute": first, "example": first}],
            [{"reweight": first, "factor": 2.0}, {"reweight": first, "factor": 0.5}],
        ]
        results = [
            counterfactual(records, resolve(records, item).intervention, loop, start=0, fresh=True)
            for item in asked
        ]
    finally:
        records.close()
    return sum(_is_recorded(result) for result in results), len(results)


def middle_equals_start(run_dir: Path, training: Training) -> tuple[int, int]:
    """Return how many interventions end in the same bits from the middle and from the start."""
    records = open_records(run_dir)
    loop = TrainingLoop(training.build, training.run)
    equal = 0
    try:
        for asked in CHANGES:
            intervention = resolve(records, asked).intervention
            place = result_folder(records, intervention) / MODEL_FILE
            middle = counterfactual(records, intervention, loop, fresh=True)
            from_middle = place.read_bytes()
            start = counterfactual(records, intervention, loop, fresh=True, start=0)
            changed = not _is_recorded(start) and middle["start_step"] <= start["num_steps"]
            equal += changed and from_middle == place.read_bytes()
    finally:
        records.close()
    return equal, len(CHANGES)


def _is_recorded(result: Mapping[str, Any]) -> bool:
    same = result["final_digest"] == result["run_final_digest"]
    return bool(same and result["num_identical_steps"] == result["num_steps"])
