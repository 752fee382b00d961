"""Log, intent, commit and fingerprints cost at most 2 % of a training step.

Caveat: their calls are timed inside a recorded run, two threads, on a noisy machine; what each step
pays is the median over steps. Fingerprints are charged with the comparison that replaces the one
before a step, less the copy of the parameters that the books take on the same way: it is timed
alone after each step. Sealing goes by its default, a minute, and is charged with leaves and
checkpoints to all steps. Writing a model state is not charged, its leaf is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any
from unittest.mock import patch

import torch
from benchmarks.decoder import ROWS, build_decoder, random_windows, train_step
from benchmarks.figure import Figure, middle
from torch import optim

import gradledger as gl
from gradledger.log import RunLog, SigningKey
from gradledger.recorder import booking, run_journal
from gradledger.recorder.changes import copy_parameters
from gradledger.recorder.run_journal import RunJournal
from gradledger.recorder.sink import Sink
from gradledger.recorder.write_ahead import WriteAhead

WARMUPS, STEPS = 3, 200
#: Half of the time goes to plain steps: a minute of recorded ones lies between two seals.
SEAL_SECONDS = 120.0


#: Parts that every step pays; the others are paid now and then, and charged to all steps.
EACH_STEP = ("fingerprint", "intent", "commit")


def measure() -> list[Figure]:
    """Take the seconds of every part, over those of plain steps that take turns with it."""
    torch.set_num_threads(2)
    tokens = random_windows(ROWS)
    model, optimizer = _trainer()
    plain = _trainer()
    spent: dict[str, float] = {}
    before: dict[str, float] = {}
    plain_seconds: list[float] = []
    ratios: dict[str, list[float]] = {name: [] for name in EACH_STEP}
    with TemporaryDirectory() as folder:
        key = SigningKey.generate("benchmarks.test/cost")
        run = gl.record(
            Path(folder) / "run",
            model,
            optimizer,
            key=key,
            state_every=STEPS,
            seal_seconds=SEAL_SECONDS,
        )
        run.admit([{"tokens": row} for row in tokens])
        entries = [entry for group in run.booker.tracked for entry in group]
        with _timed(spent):
            for number in range(WARMUPS + STEPS):
                if number == WARMUPS:
                    spent.clear()
                    before = {}
                start = perf_counter()
                train_step(*plain, tokens)
                plain_seconds.append(perf_counter() - start)
                with run.step({"tokens": tokens}, examples=range(ROWS)):
                    train_step(model, optimizer, tokens)
                start = perf_counter()
                with torch.no_grad():
                    copy_parameters(entries)  # They hold the same already.
                copied = perf_counter() - start
                for name, found in ratios.items():
                    seconds = spent[name] - before.get(name, 0.0)
                    seconds -= copied if name == "fingerprint" else 0.0
                    found.append(seconds / plain_seconds[-1])
                before = dict(spent)
            run.close()
    step_seconds, spread = middle(plain_seconds[WARMUPS:])
    shares = {name: middle(found[WARMUPS:])[0] for name, found in ratios.items()}
    shares |= {
        name: seconds / STEPS / step_seconds
        for name, seconds in spent.items()
        if name not in ratios
    }
    caveat = "of a plain step: " + ", ".join(
        f"{name} {100 * share:.2f} %" for name, share in sorted(shares.items())
    )
    return [
        Figure(
            "log.step_cost", 1 + sum(shares.values()), "ratio", "lower", 1.02, 1.01, caveat=caveat
        ),
        Figure("log.plain_step", step_seconds, "seconds", spread=spread),
    ]


@contextmanager
def _timed(spent: dict[str, float]) -> Iterator[None]:
    """Add the seconds of every call to its name; a call inside another counts once."""
    depth = 0

    def timing(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            nonlocal depth
            depth += 1
            start = perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                depth -= 1
                if not depth:
                    spent[name] = spent.get(name, 0.0) + perf_counter() - start

        return timed

    places: tuple[tuple[Any, str, str], ...] = (
        (booking, "copy_and_fingerprint", "fingerprint"),
        (RunJournal, "_fingerprint_before", "fingerprint"),
        (run_journal, "rng_fingerprint", "fingerprint"),
        (WriteAhead, "intend", "intent"),
        (WriteAhead, "commit", "commit"),
        (Sink, "seal", "seal"),
        (RunLog, "add_state", "leaf of a state"),
        (RunLog, "add_end", "end"),
        (RunLog, "publish", "checkpoint"),
    )
    with ExitStack() as stack:
        for owner, attribute, name in places:
            call = timing(name, getattr(owner, attribute))
            stack.enter_context(patch.object(owner, attribute, call))
        yield


def _trainer() -> tuple[torch.nn.Module, optim.Optimizer]:
    model = build_decoder()
    return model, optim.AdamW(model.parameters(), lr=1e-3)
