"""The demonstration's training loop by name, so that a fresh shell can execute it again.

A recorded demonstration names ``gradledger.demo.replay:entry`` with the arguments that decide its
data: size, number format, and the moment at which the policy decided. The wheels are named by their
digests: other wheels would be other data.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from gradledger.canon import record_digest
from gradledger.demo.behaviours import demo_probes
from gradledger.demo.data import DemoData, load_demo_data
from gradledger.demo.generate import reader, writers, written
from gradledger.demo.manifest import default_cache
from gradledger.demo.model import losses_per_window, recipe_of
from gradledger.demo.train import Training
from gradledger.errors import InputError, ReplayError
from gradledger.probe import Probe
from gradledger.replay import TrainingLoop
from gradledger.replay.loop import Observable

ENTRY: Final = "gradledger.demo.replay:entry"

DTYPES: Final[dict[str, torch.dtype]] = {
    name: getattr(torch, name) for name in ("float32", "float64", "bfloat16")
}

#: Windows of one forward pass where a loss is only looked at.
_WINDOWS: Final = 64


def entry_arguments(data: DemoData, now: datetime, dtype: torch.dtype) -> dict[str, str]:
    """Return what a recorded demonstration says of its data, as plain text."""
    return {
        "size": data.size.name,
        "dtype": str(dtype).removeprefix("torch."),
        "now": now.isoformat(),
        "wheels": _wheels_digest(data),
    }


def entry(size: str, dtype: str, now: str, wheels: str, cache: str | None = None) -> TrainingLoop:
    """Build the training of a recorded demonstration again.

    Args:
        size: Name of the size.
        dtype: Number format of the parameters.
        now: Moment at which the policy decided, ISO 8601.
        wheels: Digest over names and digests of the wheels.
        cache: Folder of the wheels; by default the one of the current folder.

    Raises:
        InputError: There is no such size or format. Code I104.
        StorageError: Wheels are missing. Code S153.
        ReplayError: The wheels are not those of the recorded run. Code R104.
    """
    if dtype not in DTYPES:
        raise InputError(
            "I104", observed=f"dtype {dtype!r}", expected="one of " + ", ".join(DTYPES), where=ENTRY
        )
    place = Path(cache) if cache is not None else default_cache()
    data = load_demo_data(size, place, now=datetime.fromisoformat(now))
    if (found := _wheels_digest(data)) != wheels:
        raise ReplayError(
            "R104",
            observed=f"wheels with digest {found[:16]}",
            expected=f"{wheels[:16]}, as recorded",
            where=str(place),
            hint="replay with the version of gradledger that recorded the demonstration",
        )
    training = training_of(data, DTYPES[dtype])
    return training_loop(training, data)


def training_of(data: DemoData, dtype: torch.dtype) -> Training:
    """Return the training on these data."""
    recipe = recipe_of(data.size.name)
    return Training(recipe, data.vocab_size, torch.from_numpy(data.tokens), data.columns, dtype)


def training_loop(training: Training, data: DemoData) -> TrainingLoop:
    """Return what a replay executes and observes.

    Observed are the mean losses on the admitted windows that an intervention is about and on all
    the others, in nats per token, and the probes of the demonstration, in nats. Both models also
    continue a few prompts.
    """
    behaviours = {probe.name: probe_observable(probe) for probe in demo_probes(data)}

    def observables(examples: frozenset[int]) -> dict[str, Observable]:
        parts = {
            "loss on the chosen windows [nats]": [n for n in data.admitted if n in examples],
            "loss on the other windows [nats]": [n for n in data.admitted if n not in examples],
        }
        losses = {name: _mean_loss(training, rows) for name, rows in parts.items() if rows}
        return losses | behaviours

    return TrainingLoop(
        training.build,
        training.run,
        observables,
        writers(data.tokenizer),
        probes=lambda: demo_probes(data),
        written=written(data.tokenizer),
        texts=data.text,
        read=reader(data.tokenizer),
    )


def probe_observable(probe: Probe) -> Observable:
    """Return a probe as a figure of a model, under the name that the run books it by."""

    def loss(model: nn.Module) -> Tensor:
        value: Tensor = probe.loss(model, probe.inputs)
        return value

    return loss


def _mean_loss(training: Training, rows: list[Any]) -> Observable:
    tokens = training.tokens[torch.as_tensor(rows)]

    def loss(model: nn.Module) -> Tensor:
        parts = [losses_per_window(model, part).double() for part in torch.split(tokens, _WINDOWS)]
        return torch.cat(parts).mean()

    return loss


def _wheels_digest(data: DemoData) -> str:
    return record_digest("demo-wheels/1", [list(wheel) for wheel in data.corpus.wheels])
