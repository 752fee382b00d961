"""Thin the model states of a closed run: what is referenced stays, the log says what went.

A state is a place where a replay can begin. Fewer of them save disk and make replays longer; they
take no proof away, because the digest of each stays in the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gradledger.canon import leaf_bytes
from gradledger.errors import StorageError
from gradledger.log import (
    LOG_FOLDER,
    Log,
    LogDescription,
    SigningKey,
    has_log,
    write_manifest,
)
from gradledger.schema import THINNED, ErasureLeaf
from gradledger.segment import (
    RunLock,
    read_json,
    read_table,
    remove_folder,
    segment_files,
)


@dataclass(frozen=True)
class Thinned:
    """What thinning did.

    Attributes:
        removed: Steps whose states went.
        kept: Step -> why its state stays.
        num_bytes: Bytes that were freed.
    """

    removed: tuple[int, ...]
    kept: dict[int, str]
    num_bytes: int


def thin_states(run_dir: Path, keep: int, key: SigningKey | None) -> Thinned:
    """Remove stored states of a closed run until at most ``keep`` stay besides those referenced.

    Args:
        run_dir: The run.
        keep: States that stay between the opening and the last one, evenly spread.
        key: Signs the log, where it is signed.

    Raises:
        StorageError: The run is not closed (S110), somebody writes it (S111), or the disk refuses
            (S112).
        LogError: The log is signed, and the key is not the one that signs it. Code L136.
    """
    if not (run_dir / "end.json").exists():
        raise StorageError(
            "S110",
            observed="no end.json",
            expected="a closed run",
            where=str(run_dir),
            hint="close the run first; while it is recorded, state_keep thins its states",
        )
    with RunLock(run_dir):
        steps = _stored(run_dir)
        kept = _referenced(run_dir, steps)
        free = [step for step in steps if step not in kept]
        kept |= dict.fromkeys(_spread(free, keep, steps[-1] if steps else 0), "one of those kept")
        removed = tuple(step for step in steps if step not in kept)
        if not removed:
            return Thinned((), kept, 0)
        _announce(run_dir, removed, key)
        num_bytes = sum(_remove(run_dir / _folder(step)) for step in removed)
        write_manifest(run_dir)
    return Thinned(removed, kept, num_bytes)


def _stored(run_dir: Path) -> list[int]:
    names = [path.name.removeprefix("step=") for path in (run_dir / "states").glob("step=*")]
    return sorted(int(name) for name in names if name.isdecimal())


def _folder(step: int) -> str:
    return f"states/step={step}"


def _referenced(run_dir: Path, steps: Sequence[int]) -> dict[int, str]:
    """Return the states that something of the run rests on, and what."""
    found = {
        0: "the opening balance",
        int(read_json(run_dir / "end.json")["num_steps"]): "the last",
    }
    for path in sorted((run_dir / "resumes").glob("resume-*.json")):
        found.setdefault(int(read_json(path)["step"]), "a resume went on from it")
    for table in ("displacement/lines", "frozen/lines"):
        if not segment_files(run_dir, table):
            continue
        ends = read_table(run_dir, table, ["start_step", "stop_step"]).to_pydict()
        for step in {*ends["start_step"], *ends["stop_step"]}:
            found.setdefault(step, "end of a settled interval")
    if segment_files(run_dir, "probes/values"):
        weights = run_dir / "probes" / "weights"
        for step in read_table(run_dir, "probes/values", ["step"])["step"].to_pylist():
            if not (weights / f"step={step}.safetensors").exists():
                found.setdefault(step, "end of a probed interval")
    return {step: why for step, why in found.items() if step in steps}


def _spread(steps: Sequence[int], keep: int, last: int) -> list[int]:
    """Return the steps that are nearest to an even spread."""
    left, found = list(steps), []
    for place in range(1, keep + 1):
        if left:
            best = min(left, key=lambda step: abs(step - last * place / (keep + 1)))
            left.remove(best)
            found.append(best)
    return found


def _announce(run_dir: Path, removed: Sequence[int], key: SigningKey | None) -> None:
    """Before anything goes, the log says that it goes: a crash leaves a state too many."""
    if not has_log(run_dir):
        return
    run_id = str(read_json(run_dir / "run.json")["run_id"])
    signed = LogDescription.read(run_dir / LOG_FOLDER).signed
    with Log.open(run_dir, key if signed else None) as log:
        for step in removed:
            leaf: Any = ErasureLeaf(
                run_id=run_id,
                recorded_at=datetime.now(UTC).isoformat(),
                what=THINNED,
                scope=_folder(step),
                reason="asked for",
            )
            log.append(leaf_bytes(leaf))
        log.publish()


def _remove(folder: Path) -> int:
    num_bytes = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    remove_folder(folder)
    return num_bytes
