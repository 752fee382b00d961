"""The main job: train a small code model with every step booked, then question the ledger."""

from __future__ import annotations

import shlex
import shutil
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from gradledger.demo.behaviours import demo_probes
from gradledger.demo.data import DemoData, load_demo_data
from gradledger.demo.evidence import hand_over
from gradledger.demo.integrity import demo_key, show_integrity
from gradledger.demo.manifest import default_cache
from gradledger.demo.model import recipe_of
from gradledger.demo.present import present
from gradledger.demo.progress import StepProgress
from gradledger.demo.replay import ENTRY, entry_arguments
from gradledger.demo.train import Training
from gradledger.errors import StorageError
from gradledger.query import replays_folder
from gradledger.recorder import Recorder, record
from gradledger.replay import Settled, settle
from gradledger.schema import Coverage
from gradledger.segment import read_json, write_json


@dataclass(frozen=True)
class Demonstration:
    """What one demonstration left behind.

    Attributes:
        run_dir: The recorded run.
        summary: What ``summary.json`` holds.
        data: What was trained on.
        training: The training, to be executed again.
        decided_at: The moment at which the policy decided.
    """

    run_dir: Path
    summary: dict[str, Any]
    data: DemoData
    training: Training
    decided_at: datetime


def run(
    size: str = "small",
    out: str | Path | None = None,
    cache: str | Path | None = None,
    dtype: torch.dtype = torch.float32,
) -> int:
    """Run the demonstration and show what the ledger answers.

    Args:
        size: ``tiny``, ``small`` or ``medium``.
        out: Where the run is written; ``runs/demo-SIZE`` by default. An earlier demonstration
            there is replaced; anything else is left alone.
        cache: Folder of the wheels.
        dtype: Format of the parameters.

    Returns:
        0 where every step balances, and the run and the evidence verify; 1 where not.

    Raises:
        StorageError: The wheels are missing, or ``out`` holds something else.
        InputError: There is no such size. Code I104.
    """
    console = _console()
    done = demonstrate(size, out, cache, dtype, console)
    present(done, console)
    is_clean = show_integrity(done.run_dir, done.summary["evidence"], console)
    place = Path(cache) if cache is not None else default_cache()
    _say_how_to_open(done.run_dir, place, console)
    return 0 if done.summary["balanced"] and is_clean else 1


def default_run_dir(size: str) -> Path:
    """Return where the run of a size is written unless something else is asked for."""
    return Path("runs") / f"demo-{size}"


def _console() -> Console:
    """Return a console of the terminal's width, or of 100 columns where there is none."""
    console = Console(highlight=False, soft_wrap=False)
    return console if console.is_terminal else Console(highlight=False, width=100)


def demonstrate(
    size: str,
    out: str | Path | None,
    cache: str | Path | None,
    dtype: torch.dtype,
    console: Console,
) -> Demonstration:
    """Train, settle and summarise; nothing is questioned yet."""
    recipe = recipe_of(size)
    run_dir = _clean(Path(out) if out is not None else default_run_dir(size))
    clock, now = _Clock(), datetime.now(UTC)
    with console.status("reading wheels, deciding files, training the tokenizer"):
        place = Path(cache) if cache is not None else default_cache()
        data = load_demo_data(size, place, now=now)
    console.print(data.describe())
    clock.lap("corpus_seconds")
    training = Training(recipe, data.vocab_size, torch.from_numpy(data.tokens), data.columns, dtype)
    probes = demo_probes(data)
    model, optimizer = training.build()
    key = demo_key(run_dir)
    recorder = record(
        run_dir,
        model,
        optimizer,
        policy=data.policy_path,
        on_imbalance="strict",
        state_every=recipe.state_every,
        visit_bits=recipe.visit_bits,
        probes=probes,
        opening={"source": "random initialisation", "seed": recipe.seed},
        seeds={"model": recipe.seed, "order": recipe.seed},
        now=now,
        notes="demonstration",
        replay=ENTRY,
        replay_arguments=entry_arguments(data, now, dtype),
        key=key,
    )
    _announce(recorder.grouping.coverage, console)
    with recorder, StepProgress(console, "training", recipe.steps, recorder) as progress:
        training.run(recorder, progress.advance)
    write_json(run_dir.with_name(f"{run_dir.name}.tokenizer.json"), data.tokenizer_record)
    clock.lap("training_seconds")
    with StepProgress(console, "settling", recipe.steps) as progress:
        settled = settle(
            run_dir,
            training.build,
            lambda again: training.run(again, progress.advance),
            probes=probes,
            key=key,
        )
    clock.lap("settling_seconds")
    handed = hand_over(run_dir, key, data.columns["package"])
    clock.lap("evidence_seconds")
    summary = summarise(run_dir, recorder, settled, data, clock.laps)
    summary["evidence"] = handed
    write_json(run_dir.with_name(run_dir.name + ".summary.json"), summary)
    return Demonstration(run_dir, summary, data, training, now)


def summarise(
    run_dir: Path, recorder: Recorder, settled: Settled, data: DemoData, laps: dict[str, float]
) -> dict[str, Any]:
    """Gather balance, coverage, counts and times of a demonstration."""
    end, begin = read_json(run_dir / "end.json"), read_json(run_dir / "run.json")
    shares = settled.shares[0]
    visits = shares["accrued_contributions"]
    lines = [values for line, values in shares.items() if line != "accrual_residual"]
    sums = np.sum(lines, axis=0)
    return {
        "format": "gradledger.demo-summary/1",
        "run": str(run_dir),
        "balanced": end["balance"]["verdicts"]["unbalanced"] == 0
        and end["balance"]["verdicts"]["not finite"] == 0,
        "balance": end["balance"],
        "coverage_percent": recorder.grouping.coverage.percent,
        "parameters": recorder.grouping.coverage.num_updated,
        "groups": len(recorder.grouping.groups),
        "steps": end["num_steps"],
        "visits": end["num_visits"],
        "examples": end["totals"]["examples"],
        "admitted": end["totals"]["admitted"],
        "displacement": {
            "sum_error": float(np.abs(sums - 1.0).max()),
            "visits_share_median": float(np.median(visits)),
            "steps_bit_identical": settled.num_steps,
        },
        "probes": {name: asdict(probe) for name, probe in settled.probes.items()},
        "counts": data.counts,
        "seconds": laps,
        "training": {
            key: end["totals"][key] for key in ("step_seconds", "record_seconds", "probe_seconds")
        },
        "environment": begin["environment"],
    }


def _say_how_to_open(run_dir: Path, cache: Path, console: Console) -> None:
    """Name the command that shows the run in a browser, contents of examples included."""
    here = Path.cwd()
    shown = [
        str(path.relative_to(here)) if here in path.resolve().parents else str(path)
        for path in (run_dir.resolve(), cache.resolve())
    ]
    command = shlex.join(["gradledger", "serve", shown[0], "--content", shown[1]])
    console.print(f"see it in a browser: {command}", markup=False, soft_wrap=True)


def _announce(coverage: Coverage, console: Console) -> None:
    """Say what is captured before the first step."""
    console.print(
        f"capture covers {coverage.percent:.1f} % of {coverage.num_updated:,} parameters that the "
        "optimizer updates"
    )
    for name, reason in coverage.unattributed:
        console.print(f"  unattributed: {name} ({reason})", markup=False)


def _clean(run_dir: Path) -> Path:
    """Replace an earlier demonstration; refuse to touch anything else."""
    if not run_dir.exists() or not any(run_dir.iterdir()):
        return run_dir
    begin = run_dir / "run.json"
    if not begin.exists() or not read_json(begin)["notes"].startswith("demonstration"):
        raise StorageError(
            "S101",
            observed=f"{run_dir} with content that is no demonstration",
            expected="an empty directory or an earlier demonstration",
            where="demo",
            hint="choose another directory with --out",
        )
    shutil.rmtree(run_dir)
    for beside in (replays_folder(run_dir), run_dir.with_name(f"{run_dir.name}.erased")):
        if beside.is_dir():
            shutil.rmtree(beside)
    return run_dir


class _Clock:
    """Wall seconds between laps."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now
