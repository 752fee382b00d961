"""Training habits: each is a way to write a loop, tried with every optimizer.

A habit is a subclass of ``Habit`` with a docstring that says in one line what it does; it is
registered by being defined. ``Cell`` says what came out: refused by a code, or how the books stand
and whether training was left alone.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader, TensorDataset

import gradledger as gl
from gradledger.errors import GradledgerError
from gradledger.segment import read_table

sys.path.insert(0, str(Path(__file__).parents[1] / "oracle"))
from lion import Lion

Maker = Callable[..., optim.Optimizer]


def _matrices(kind: Maker, **settings: Any) -> Maker:
    """Muon takes matrices only: the others stay out of the optimizer."""

    def make(params: Any, **options: Any) -> optim.Optimizer:
        listed = list(params)
        groups = listed if isinstance(listed[0], dict) else [{"params": listed}]
        kept = [{**g, "params": [p for p in g["params"] if p.ndim == 2]} for g in groups]
        return kind(kept, **{**settings, **options})

    return make


def _maker(kind: Maker, **settings: Any) -> Maker:
    return lambda params, **options: kind(params, **{**settings, **options})


OPTIMIZERS: dict[str, Maker] = {
    "SGD": _maker(optim.SGD, lr=0.1),
    "momentum": _maker(optim.SGD, lr=0.1, momentum=0.9, dampening=0.2, weight_decay=0.01),
    "Nesterov": _maker(optim.SGD, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": _maker(optim.Adam, lr=1e-2, weight_decay=0.01),
    "AdamW": _maker(optim.AdamW, lr=1e-2),
    "AMSGrad": _maker(optim.AdamW, lr=1e-2, amsgrad=True),
    "NAdam": _maker(optim.NAdam, lr=1e-2, weight_decay=0.01, decoupled_weight_decay=True),
    "RAdam": _maker(optim.RAdam, lr=1e-2, weight_decay=0.01),
    "Adamax": _maker(optim.Adamax, lr=1e-2, weight_decay=0.01),
    "Adagrad": _maker(optim.Adagrad, lr=1e-2, weight_decay=0.01),
    "Adadelta": _maker(optim.Adadelta, lr=1.0, weight_decay=0.01),
    "RMSprop": _maker(optim.RMSprop, lr=1e-3, momentum=0.9, weight_decay=0.01),
    "Adafactor": _maker(optim.Adafactor, lr=1e-2, weight_decay=0.01),
    "Muon": _matrices(optim.Muon, lr=2e-2),
    "Lion": _maker(Lion, lr=1e-3, weight_decay=0.1),
}

#: Verdicts in the order in which a cell reports the worst.
VERDICTS = ("unchanged", "balanced", "not testable at this precision", "unbalanced", "not finite")


@dataclass(frozen=True)
class Cell:
    """What came out of one optimizer with one habit.

    Attributes:
        refused: Error code, or ``"-"`` where torch has no such option; empty where it trained.
        verdict: Worst verdict of all groups and steps.
        residual: Largest residual of both bases over the sum of all lines.
        same_bits: Whether recorded and plain training end in the same bits.
    """

    refused: str = ""
    verdict: str = ""
    residual: float = 0.0
    same_bits: bool = False


class Decoder(nn.Module):
    """Two blocks over tokens, with normalisation and a table of positions; attention by hand."""

    def __init__(self, width: int = 8, vocabulary: int = 13) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(vocabulary, width), nn.Embedding(16, width)
        self.mix = nn.ModuleList(nn.Linear(width, 3 * width, bias=False) for _ in range(2))
        self.up = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

    def block(self, number: int, x: Tensor, allowed: Tensor | None) -> Tensor:
        query, key, value = self.mix[number](x).chunk(3, -1)
        scores = query @ key.mT / query.shape[-1] ** 0.5
        length = x.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        allowed = causal if allowed is None else causal & allowed
        x = x + scores.masked_fill(~allowed, -1e4).softmax(-1) @ value
        return x + nn.functional.gelu(self.up[number](x))

    def forward(
        self, tokens: Tensor, *, allowed: Tensor | None = None, positions: Tensor | None = None
    ) -> Tensor:
        places = torch.arange(tokens.shape[1])[None] if positions is None else positions
        x = self.embed(tokens) + self.place(places)
        for number in range(len(self.mix)):
            x = self.run(number, x, allowed)
        return self.head(self.norm(x))

    def run(self, number: int, x: Tensor, allowed: Tensor | None) -> Tensor:
        return self.block(number, x, allowed)


class Habit:
    """Plain training: forward, backward, step."""

    name: ClassVar[str] = "plain"
    all: ClassVar[list[type[Habit]]] = []
    same_bits: ClassVar[bool] = True  # Whether recorded training must end in the plain bits.
    options: ClassVar[dict[str, Any]] = {}
    record: ClassVar[dict[str, Any]] = {}
    steps, batch = 4, 4

    def __init_subclass__(cls) -> None:
        Habit.all.append(cls)

    def model(self) -> nn.Module:
        torch.manual_seed(3)
        return Decoder()

    def optimizer(self, make: Maker, model: nn.Module) -> optim.Optimizer:
        return make(model.parameters(), **self.options)

    def data(self) -> Any:
        generator = torch.Generator().manual_seed(5)
        return TensorDataset(torch.randint(0, 13, (12, 7), generator=generator))

    def loader(self, data: Any) -> DataLoader[Any]:
        generator = torch.Generator().manual_seed(7)
        return DataLoader(data, batch_size=self.batch, shuffle=True, generator=generator)

    def start(self, model: nn.Module, optimizer: optim.Optimizer, run: Any) -> None:
        """Make what the loop needs besides; ``run`` is None in plain training."""

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        tokens = batch[0]
        return token_loss(model(tokens[:, :-1]), tokens[:, 1:])

    def backward(self, model: nn.Module, optimizer: optim.Optimizer, batch: Any) -> None:
        self.loss(model, batch).backward()

    def update(self, model: nn.Module, optimizer: optim.Optimizer, batch: Any) -> None:
        self.backward(model, optimizer, batch)
        optimizer.step()
        optimizer.zero_grad()

    def after_step(self, model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Do what the loop does between steps."""

    def batches(self, run: Any) -> Iterator[Any]:
        """Yield batches for ever: admitted and noted where there is a run."""
        data = self.data()
        loader = self.loader(data if run is None else run.admit(data))
        while True:
            yield from loader if run is None else run.batches(loader)

    @contextmanager
    def step(self, run: Any, batch: Any) -> Iterator[None]:
        if run is None:
            yield
        else:
            with run.step(batch):
                yield

    def train(self, model: nn.Module, optimizer: optim.Optimizer, run: Any) -> None:
        self.start(model, optimizer, run)
        feed = self.batches(run)
        for _ in range(self.steps):
            batch = next(feed)
            with self.step(run, batch):
                self.update(model, optimizer, batch)
            self.after_step(model, optimizer)
        feed.close()

    def build(self, make: Maker) -> tuple[nn.Module, optim.Optimizer]:
        model = self.model()
        return model, self.optimizer(make, model)

    def plain(self, make: Maker) -> nn.Module:
        model, optimizer = self.build(make)
        self.train(model, optimizer, None)
        return model

    def recorded(self, make: Maker, folder: Path) -> nn.Module:
        model, optimizer = self.build(make)
        options = {"on_imbalance": "strict", "seal_seconds": 0.0, **self.record}
        with gl.record(folder, model, optimizer, **options) as run:
            self.train(model, optimizer, run)
        return model

    def cell(self, make: Maker) -> Cell:
        """Train with and without a recorder, and compare."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                recorded = self.recorded(make, Path(folder) / "run")
            except GradledgerError as error:
                return Cell(refused=error.code)
            except TypeError as error:
                if "unexpected keyword" not in str(error):
                    raise
                return Cell(refused="-")
            books = read_table(Path(folder) / "run", "books").to_pydict()
        plain = self.plain(make)
        return Cell(
            verdict=max(filter(None, books["verdict"]), key=VERDICTS.index),
            residual=max(filter(None, books["residual_ratio"]), default=0.0),
            same_bits=all(map(torch.equal, recorded.parameters(), plain.parameters())),
        )


Habit.all.append(Habit)


def token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean loss over tokens; targets below 0 do not count."""
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)
