"""The demo's probes: behaviours on held-out text, and the canary with its known cause."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn

from gradledger.demo.data import DemoData
from gradledger.demo.model import losses_per_window
from gradledger.probe import Probe

#: Much moves early on: the first intervals are shorter.
EARLY_STEPS: Final = (1, 2, 4, 6, 8, 12, 15)
EVERY: Final = 10

_WORDS: Final = {
    "docstrings": "prose of docstrings in files that are not trained on",
    "numeric arrays": "stretches full of digits in files that are not trained on",
    "licence headers": "tops of files that are not trained on, with a notice",
    "held-out files": "code from within files that are not trained on",
    "canary": "a line planted in two packages: its cause is known",
}


def demo_probes(data: DemoData) -> list[Probe]:
    """Return the probes of a size; behaviours without text are left out."""
    return [
        Probe(
            name,
            {"tokens": torch.from_numpy(tokens)},
            mean_loss,
            every=EVERY,
            description=_WORDS[name],
            also_at=EARLY_STEPS,
        )
        for name, tokens in data.probe_tokens.items()
        if len(tokens)
    ]


def mean_loss(model: nn.Module, batch: dict[str, Any]) -> Tensor:
    """Return the mean next-token loss of the windows, in nats per token."""
    return losses_per_window(model, batch["tokens"]).mean()
