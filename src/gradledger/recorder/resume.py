"""Go on with a run that was cut off: nothing lost, nothing counted twice, nothing overwritten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow.compute as pc

from gradledger.canon import to_plain
from gradledger.errors import StorageError
from gradledger.log import (
    COMMITMENTS_FOLDER,
    MANIFEST_NAME,
    SigningKey,
    finish_log,
    has_log,
    write_manifest,
)
from gradledger.recorder.behaviours import probe_weights_after
from gradledger.recorder.environment import read_environment
from gradledger.recorder.recorded_admission import AdmissionRecord, read_admissions
from gradledger.recorder.resume_point import (
    ResumePoint,
    find_resume_point,
    segments_after,
    stored_steps,
)
from gradledger.recorder.sink import Sink
from gradledger.recorder.states import state_name
from gradledger.recorder.write_ahead import (
    Commit,
    Intent,
    read_write_ahead,
    remove_write_ahead,
)
from gradledger.schema import RESUME_FORMAT, Resume, RunBegin
from gradledger.segment import (
    is_temporary,
    read_json,
    read_table,
    segment_files,
    set_aside,
    write_json,
)
from gradledger.state.torch_state import restore_rng

if TYPE_CHECKING:
    from gradledger.recorder.recorder import Recorder

FOLDER: Final = "resumes"
#: Settings that may be others when a run goes on; the resume record holds the new ones.
FREE_SETTINGS: Final = frozenset(
    {"state_every", "state_keep", "seal_rows", "seal_steps", "seal_seconds"}
)
#: What settings were in runs that began before there was a choice.
_ADDED: Final = {"substitute": False}
#: What lies in the directory of a run that died before its opening state was stored.
_BEFORE_OPENING: Final = frozenset({"fork.json", "run.json", "run.lock", "policies", "states"})
_BEGIN: Final = ("level", "on_imbalance", "groups", "blocks", "coverage", "policy", "seeds")


def is_begun(run_dir: Path) -> bool:
    """Whether the opening state of a run is stored: before that nothing could be recorded."""
    return (run_dir / "run.json").is_file() and (run_dir / state_name(0)).is_dir()


def is_unborn(run_dir: Path) -> bool:
    """Whether a directory holds no more than a run leaves that died while it was opened."""
    # A kill in the first write of all leaves its temporary file, which nothing reads.
    names = {path.name for path in run_dir.iterdir() if not is_temporary(path.name)}
    return names <= _BEFORE_OPENING and not stored_steps(run_dir)


def read_recorded(run_dir: Path, signer: SigningKey | None) -> dict[str, Any]:
    """Return the begin record of a run that can go on.

    Raises:
        StorageError: The run is closed. Code S102.
    """
    if (run_dir / "end.json").exists():
        if not (run_dir / MANIFEST_NAME).exists():  # Cut off between its last files.
            remove_write_ahead(run_dir)
            if has_log(run_dir):
                finish_log(run_dir, signer)
            write_manifest(run_dir)
        raise StorageError(
            "S102",
            observed="end.json",
            expected="a run that was cut off",
            where=str(run_dir),
            hint="ask it with gl.open; choose another directory for another run",
        )
    return dict(read_json(run_dir / "run.json"))


def match_begin(recorded: Mapping[str, Any], asked: RunBegin, run_dir: Path) -> RunBegin:
    """Return the begin record of the run, after comparing it with what the caller asks now.

    Raises:
        StorageError: Something differs that may not. Code S103.
    """
    now: dict[str, Any] = to_plain(asdict(asked), non_finite_as_text=True)
    pairs: dict[str, tuple[Any, Any]] = {}
    tensors = (_tensors(now), _tensors(recorded))
    for name in tensors[0] | tensors[1]:
        pairs[f"tensor {name}"] = (tensors[0].get(name), tensors[1].get(name))
    pairs |= {name: (now[name], recorded.get(name)) for name in _BEGIN}
    for name in ("family", "class"):
        pairs[f"optimizer {name}"] = (now["optimizer"][name], recorded["optimizer"][name])
    for name in sorted((now["settings"].keys() | recorded["settings"].keys()) - FREE_SETTINGS):
        before = recorded["settings"].get(name, _ADDED.get(name))
        pairs[f"setting {name}"] = (now["settings"].get(name), before)
    for name, (found, expected) in pairs.items():
        if found != expected:
            raise StorageError(
                "S103",
                observed=f"{name}={found!r:.200}",
                expected=f"{expected!r:.200}, as recorded",
                where=str(run_dir),
                hint="resume with the model and settings of the run, or begin another run",
            )
    kept = {name: recorded[name] for name in ("run_id", "created_at", "notes")}
    kept["log"] = recorded.get("log", {})
    kept |= {name: recorded[name] for name in ("opening_balance", "environment", "optimizer")}
    parts = {name: getattr(asked, name) for name in RunBegin.__dataclass_fields__}
    return RunBegin(**{**parts, **kept, "settings": recorded["settings"]})


def _tensors(begin: Mapping[str, Any]) -> dict[str, str]:
    """Return type, shape and group of every tensor, by name."""
    return {
        tensor["name"]: f"{tensor['dtype']} {tensor['shape']} in group {group['name']}"
        for group in begin["groups"]
        for tensor in group["tensors"]
    }


class Resumption:
    """Prepares a run directory for going on; made while its lock is held.

    Args:
        run_dir: The run.
        settings: Settings of the recorder now.

    Attributes:
        number: Number of this resume, from 1.
        admissions: Admissions that stand.
    """

    def __init__(self, run_dir: Path, settings: Mapping[str, Any]) -> None:
        self.run_dir, self._settings = run_dir, settings
        self.number = 1
        while (path := _record_path(run_dir, self.number)).exists():
            # A resume that was cut off itself may have moved a part only.
            set_aside(run_dir, self.number, read_json(path)["moved"])
            self.number += 1
        self.admissions: list[AdmissionRecord] = read_admissions(run_dir)

    def open(self, recorder: Recorder, sink: Sink) -> ResumePoint:
        """Restore the last consistent state and set aside what came after it.

        Args:
            recorder: Attached to model and optimizer.
            sink: Without a write-ahead log yet.

        Raises:
            StorageError: No state can be used (S104), model or optimizer are others (S122), the
                disk refuses (S112). The run can be resumed later.
        """
        logs, commits, intents = read_write_ahead(self.run_dir)
        _seal_committed(self.run_dir, commits, sink)
        point = find_resume_point(self.run_dir, recorder)
        restore_rng(self.run_dir / state_name(0))
        moved = [
            *logs,
            *self._undecided(),
            *segments_after(self.run_dir, point.step),
            *(state_name(step) for step in stored_steps(self.run_dir) if step > point.step),
            *probe_weights_after(self.run_dir, point.step),
            *_sealed_too_early(self.run_dir),
        ]
        record = self._record(recorder, point, moved, _explain(self.run_dir, commits, intents))
        write_json(_record_path(self.run_dir, self.number), asdict(record))
        set_aside(self.run_dir, self.number, moved)
        recorder.num_steps = point.step
        recorder.passes.expect(point.loaded.position["passes"], point.loaded.extra)
        return point

    def _undecided(self) -> list[str]:
        """Return segments of an admission that was cut off before it stood."""
        standing = {name for record in self.admissions for name in record.segments}
        found = [
            path.relative_to(self.run_dir).as_posix()
            for table in ("decisions/distinct", "decisions/truths", "decisions/examples")
            for path in segment_files(self.run_dir, table)
        ]
        return [name for name in found if name not in standing]

    def _record(
        self, recorder: Recorder, point: ResumePoint, moved: Sequence[str], stopped: dict[str, Any]
    ) -> Resume:
        steps = read_table(self.run_dir, "steps", ["step"])["step"]
        visits = read_table(self.run_dir, "visits", ["step"])["step"]
        orphans = sorted(step for step in steps.to_pylist() if step > point.step)
        return Resume(
            format=RESUME_FORMAT,
            resume=self.number,
            resumed_at=datetime.now(UTC).isoformat(),
            step=point.step,
            state=state_name(point.step),
            stopped=stopped,
            first_orphan=orphans[0] if orphans else None,
            last_orphan=orphans[-1] if orphans else None,
            num_orphan_steps=len(orphans),
            num_orphan_visits=pc.sum(pc.greater(visits, point.step)).as_py() or 0,
            moved=tuple(moved),
            passed_over=tuple(point.passed_over),
            environment=read_environment(recorder.model),
            settings={name: self._settings[name] for name in sorted(FREE_SETTINGS)},
        )


def _sealed_too_early(run_dir: Path) -> list[str]:
    """Return commitments that were sealed at a close which did not come to its end."""
    folder = run_dir / COMMITMENTS_FOLDER
    return [COMMITMENTS_FOLDER] if folder.is_dir() else []


def _seal_committed(run_dir: Path, commits: Sequence[Commit], sink: Sink) -> None:
    """Seal what stands in write-ahead logs and in no segment."""
    last = {
        table: max(read_table(run_dir, table, ["step"])["step"].to_pylist(), default=0)
        for table in ("visits", "books", "steps")
    }
    sink.recover(
        [c.visits for c in commits if c.step["step"] > last["visits"] and c.visits.columns["step"]],
        [row for c in commits if c.step["step"] > last["books"] for row in c.books],
        [c.step for c in commits if c.step["step"] > last["steps"]],
    )


def _explain(run_dir: Path, commits: Sequence[Commit], intents: Sequence[Intent]) -> dict[str, Any]:
    """Say how the run was cut off."""
    if intents:
        intent = intents[-1]
        return {
            "phase": "between intent and commit",
            "step": intent.step,
            "fingerprint": intent.fingerprint,
            "examples": intent.examples,
        }
    steps = read_table(run_dir, "steps", ["step"])["step"].to_pylist()
    last = max([*steps, *(commit.step["step"] for commit in commits)], default=0)
    return {"phase": "outside an update", "step": last}


def _record_path(run_dir: Path, number: int) -> Path:
    return run_dir / FOLDER / f"resume-{number:04d}.json"
