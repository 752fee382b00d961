"""The oracle of effects on probes: one example at a time, one definition after the other.

Nothing of the package is used here. A run is a small model, an optimizer with a schedule, clipping
and accumulation, and depth weights per example; ``entries`` trains it in a plain loop and returns
what each visit is booked by the definitions: u = -A kappa gamma, nats = <(g_a + g_b) / 2, u>.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader

VOCABULARY = 11
SOURCES = ("deep", "shallow", "half")
POLICY = """
format: gradledger.policy/1
policy: test.depth
version: "1"
attributes:
  source: {type: string}
rules:
  - {id: known, effect: admit, when: "source IN ('deep', 'shallow', 'half')"}
classes:
  - {id: deep, when: "source = 'deep'"}
  - {id: shallow, when: "source = 'shallow'"}
  - {id: half, when: "source = 'half'"}
profiles:
  full: {default: 1}
  shallow: {default: 1, weights: [{blocks: "0", weight: 0}, {blocks: "1", weight: 0}]}
  half: {default: 1, weights: [{blocks: "1", weight: 0.5}]}
assign:
  default: full
  by:
    - {class: shallow, profile: shallow}
    - {class: half, profile: half}
"""


def depth_weight(source: str, name: str) -> float:
    """Weight of an example's gradient in the block that a tensor belongs to."""
    block = name.split(".", maxsplit=1)[0]
    if source == "shallow":
        return 0.0 if block in "01" else 1.0
    return 0.5 if source == "half" and block == "1" else 1.0


OPTIMIZERS: dict[str, Callable[[list[nn.Parameter]], optim.Optimizer]] = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "dampened": lambda p: optim.SGD(p, lr=0.1, momentum=0.8, dampening=0.2, weight_decay=0.01),
    "nesterov": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda p: optim.Adam(p, lr=1e-2, betas=(0.8, 0.95), weight_decay=0.01),
    "adamw": lambda p: optim.AdamW(p, lr=1e-2, weight_decay=0.1),
}


@dataclass
class Setup:
    """Everything that decides a run."""

    optimizer: str = "adamw"
    width: int = 5
    length: int = 6
    batch: int = 3
    micro_batches: int = 1
    steps: int = 6
    clip: float | None = 1.0
    scheduled: bool = False
    limited: bool = False
    record: dict[str, Any] = field(default_factory=dict)

    def tokens(self) -> Tensor:
        """Nine token sequences."""
        generator = torch.Generator().manual_seed(5)
        return torch.randint(0, VOCABULARY, (9, self.length), generator=generator)

    def sources(self) -> list[str]:
        """One source per example."""
        return [SOURCES[place % 3] if self.limited else "deep" for place in range(9)]

    def build(self) -> tuple[nn.Module, optim.Optimizer]:
        """Embedding, hidden layer, normalisation, output; float64."""
        torch.manual_seed(3)
        model = nn.Sequential(
            nn.Embedding(VOCABULARY, self.width),
            nn.Linear(self.width, self.width + 1),
            nn.GELU(),
            nn.LayerNorm(self.width + 1),
            nn.Linear(self.width + 1, VOCABULARY),
        ).double()
        return model, OPTIMIZERS[self.optimizer](list(model.parameters()))

    def schedule(self, optimizer: optim.Optimizer) -> optim.lr_scheduler.LambdaLR:
        """A rate that changes at every step, or not."""
        return optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: 1.0 / (1.0 + 0.3 * step) if self.scheduled else 1.0
        )

    def loop(self, run: Any) -> None:
        """The recorded training."""
        metadata = {"source": self.sources()}
        train_set = run.admit([{"tokens": row} for row in self.tokens()], metadata)
        generator = torch.Generator().manual_seed(7)
        loader: DataLoader[Any] = DataLoader(
            train_set, batch_size=self.batch, shuffle=True, drop_last=True, generator=generator
        )
        schedule, done, batches = self.schedule(run.optimizer), 0, self._forever(run, loader)
        while done < self.steps:
            with run.step() as step:
                for _ in range(self.micro_batches):
                    batch = next(batches)
                    with step.micro_batch(batch):
                        losses = row_losses(run.model, batch["tokens"])
                        (losses.mean() / self.micro_batches).backward()
                if self.clip is not None:
                    nn.utils.clip_grad_norm_(run.model.parameters(), self.clip)
                run.optimizer.step()
                run.optimizer.zero_grad()
            schedule.step()
            done += 1

    @staticmethod
    def _forever(run: Any, loader: Any) -> Any:
        while True:
            yield from run.batches(loader)


def row_losses(model: nn.Module, tokens: Tensor) -> Tensor:
    """Mean next-token loss of each row."""
    logits = model(tokens[:, :-1])
    flat = nn.functional.cross_entropy(
        logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none"
    )
    return flat.view(len(tokens), -1).mean(1)


def probe_loss(model: nn.Module, tokens: Tensor) -> Tensor:
    """What the probes measure."""
    return row_losses(model, tokens).mean()


@dataclass
class Trained:
    """What the plain loop found.

    Attributes:
        models: Model after every step, beginning with the opening one.
        entries: Per step, per visit: tensor name -> u.
    """

    models: list[nn.Module]
    entries: list[list[dict[str, Tensor]]]


def train(setup: Setup, order: Sequence[Sequence[Sequence[int]]]) -> Trained:
    """Train in a plain loop.

    Args:
        setup: The run.
        order: Per step, per micro-batch: example numbers.
    """
    model, optimizer = setup.build()
    schedule = setup.schedule(optimizer)
    tokens, sources = setup.tokens(), setup.sources()
    parameters = dict(model.named_parameters())
    models, entries = [copy.deepcopy(model)], []
    for micro_batches in order:
        gammas: list[dict[str, Tensor]] = []
        for examples in micro_batches:
            for example in examples:
                loss = row_losses(model, tokens[example : example + 1]).sum()
                share = loss / len(examples) / len(micro_batches)
                grads = torch.autograd.grad(share, list(parameters.values()))
                gammas.append(
                    {
                        name: depth_weight(sources[example], name) * grad
                        for name, grad in zip(parameters, grads, strict=True)
                    }
                )
        total = {name: sum(gamma[name] for gamma in gammas) for name in parameters}
        norm = torch.stack([g.norm() for g in total.values()]).norm()
        kappa = 1.0 if setup.clip is None else min(1.0, setup.clip / (float(norm) + 1e-6))
        for name, parameter in parameters.items():
            parameter.grad = kappa * total[name]
        first = not optimizer.state
        optimizer.step()
        rates = {
            name: incurred(optimizer, value, first=first) for name, value in parameters.items()
        }
        entries.append(
            [{name: -rates[name] * kappa * gamma[name] for name in gamma} for gamma in gammas]
        )
        models.append(copy.deepcopy(model))
        schedule.step()
    return Trained(models, entries)


def incurred(optimizer: optim.Optimizer, parameter: Tensor, *, first: bool) -> Tensor | float:
    """A: what a gradient is booked with when it arrives, from the optimizer's state after it."""
    group, state = optimizer.param_groups[0], optimizer.state[parameter]
    rate = group["lr"]
    if isinstance(optimizer, optim.SGD):
        mu, tau = group["momentum"], group["dampening"]
        if mu == 0:
            return rate
        return rate / (1 - mu) if first or group["nesterov"] else rate * (1 - tau) / (1 - mu)
    b1, b2 = group["betas"]
    count = float(state["step"])
    second = (state["exp_avg_sq"] / (1 - b2**count)).sqrt() + group["eps"]
    return rate / ((1 - b1**count) * second)


def gradient(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """Gradient of the probe by plain autograd."""
    names, values = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(probe_loss(model, inputs), values), strict=True))


def nats(
    entry: dict[str, Tensor], first: dict[str, Tensor], last: dict[str, Tensor]
) -> list[float]:
    """Effect of a visit on a probe, per group: module 0, 1, 3 and 4."""
    return [
        sum(
            float(((first[name] + last[name]) / 2 * entry[name]).sum())
            for name in entry
            if name.startswith(prefix)
        )
        for prefix in ("0.", "1.", "3.", "4.")
    ]
