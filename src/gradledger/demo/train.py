"""The demo's training loop: the five calls around an ordinary loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader, Dataset

from gradledger.demo.model import (
    Recipe,
    build_model,
    build_optimizer,
    build_schedule,
    losses_per_window,
)
from gradledger.recorder import Recorder


class Windows(Dataset[dict[str, Tensor]]):
    """Token windows as a map-style data set."""

    def __init__(self, tokens: Tensor) -> None:
        self.tokens = tokens

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"tokens": self.tokens[index]}


#: Called after every step with its number, loss and visits.
OnStep = Callable[[int, float, int], None]


@dataclass(frozen=True)
class Training:
    """One training of the demo: the same for recording, settling and plain runs.

    Attributes:
        recipe: Sizes, rates, seed.
        vocab_size: Entries of the tokenizer.
        tokens: All windows, admitted or not.
        columns: Their metadata.
        dtype: Format of the parameters.
    """

    recipe: Recipe
    vocab_size: int
    tokens: Tensor
    columns: Mapping[str, Any]
    dtype: torch.dtype = torch.float32

    def build(self) -> tuple[nn.Module, optim.Optimizer]:
        """Build model and optimizer, seeded."""
        model = build_model(self.recipe, self.vocab_size, self.dtype)
        return model, build_optimizer(self.recipe, model)

    def run(self, recorder: Recorder, on_step: OnStep | None = None) -> None:
        """Admit the windows and train on the admitted ones until the steps are done."""
        recipe, model, optimizer = self.recipe, recorder.model, recorder.optimizer
        train_set = recorder.admit(Windows(self.tokens), metadata=self.columns)
        generator = torch.Generator().manual_seed(recipe.seed)
        loader: DataLoader[Any] = DataLoader(
            train_set, batch_size=recipe.batch, shuffle=True, drop_last=True, generator=generator
        )
        schedule = build_schedule(recipe, optimizer)
        recorder.track(schedule=schedule)
        done = recorder.num_steps
        while done < recipe.steps:
            for batch in recorder.batches(loader):
                with recorder.step(batch) as step:
                    losses = losses_per_window(model, batch["tokens"])
                    step.losses(losses)
                    losses.mean().backward()  # type: ignore[no-untyped-call]
                    nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
                    optimizer.step()
                    optimizer.zero_grad()
                schedule.step()
                done += 1
                if on_step is not None:
                    on_step(done, float(losses.detach().mean()), len(batch["tokens"]))
                if done == recipe.steps:
                    return
