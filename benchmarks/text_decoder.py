"""A small decoder on real Python source: the run that predictions for language models are held to.

114 thousand parameters, 512 windows, 32 steps of AdamW with clipping, warm-up and cosine.
"""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from typing import Any

import torch
from benchmarks.figure import NotMeasurableError
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader, TensorDataset

from gradledger.demo.manifest import default_cache

NUM_WINDOWS, NUM_QUERIES, LENGTH, VOCABULARY = 512, 20, 64, 128


class Block(nn.Module):
    """Attention and a feed-forward layer, both behind a norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Add both to the stream."""
        rows, length, width = x.shape
        parts = self.mix(self.norm_1(x)).view(rows, length, 3, self.heads, -1)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        future = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        seen = scores.masked_fill(future, float("-inf")).softmax(-1) @ v
        x = x + self.out(seen.transpose(1, 2).reshape(rows, length, width))
        hidden = nn.functional.gelu(self.up(self.norm_2(x)))
        out: Tensor = x + self.down(hidden)
        return out


class Decoder(nn.Module):
    """A decoder over bytes below 128."""

    def __init__(self, width: int = 64, layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, width)
        self.positions = nn.Embedding(LENGTH, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, VOCABULARY, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits."""
        places = torch.arange(tokens.shape[1], device=tokens.device)[None]
        x = self.tokens(tokens) + self.positions(places)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))  # type: ignore[no-any-return]


def window_losses(model: nn.Module, tokens: Tensor) -> Tensor:
    """Return the mean next-token loss of each window, in nats."""
    logits = model(tokens[:, :-1])
    flat = nn.functional.cross_entropy(
        logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none"
    )
    return flat.view(len(tokens), -1).mean(1)


def read_windows(seed: int) -> Tensor:
    """Draw windows of source text from the demonstration's wheels.

    Raises:
        NotMeasurableError: There are none.
    """
    text = bytearray()
    for wheel in sorted(default_cache().rglob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(".py"):
                    text += bytes(byte for byte in archive.read(name) if byte < VOCABULARY)
    if len(text) < LENGTH * (NUM_WINDOWS + NUM_QUERIES):
        message = "no wheels to read source text from: run make demo first"
        raise NotMeasurableError(message)
    whole = torch.frombuffer(text, dtype=torch.uint8).long()
    num = len(whole) // LENGTH
    chosen = torch.randperm(num, generator=torch.Generator().manual_seed(seed))
    return whole[: num * LENGTH].view(num, LENGTH)[chosen[: NUM_WINDOWS + NUM_QUERIES]]


@dataclass
class TextRun:
    """One training of the decoder; the same loop recorded, replayed or plain.

    Attributes:
        seed: Of windows, initial weights and order.
        eps: Of AdamW.
        learning_rate: Largest one.
        steps: Optimizer steps.
        batch: Windows of a step.
        clip: Largest global gradient norm.
        dtype: Of the parameters.
    """

    seed: int = 0
    eps: float = 1e-3
    learning_rate: float = 4e-3
    steps: int = 32
    batch: int = 16
    clip: float | None = 1.0
    width: int = 64
    dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        """Draw the windows."""
        windows = read_windows(self.seed)
        self.tokens, self.queries = windows[:NUM_WINDOWS], windows[NUM_WINDOWS:]

    def build(self) -> tuple[nn.Module, optim.Optimizer]:
        """Build model and optimizer, seeded."""
        torch.manual_seed(100 + self.seed)
        model = Decoder(self.width).to(self.dtype)
        return model, optim.AdamW(
            model.parameters(), lr=self.learning_rate, betas=(0.9, 0.95), eps=self.eps
        )

    def rate(self, step: int) -> float:
        """Share of the largest learning rate in a step, counted from 0."""
        warmup = max(1, self.steps // 8)
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (self.steps - warmup)))

    def loop(self, run: Any) -> None:
        """Train as recorded."""
        train_set = run.admit(TensorDataset(self.tokens))
        loader: DataLoader[Any] = DataLoader(
            train_set,
            batch_size=self.batch,
            shuffle=True,
            drop_last=True,
            generator=torch.Generator().manual_seed(self.seed),
        )
        schedule, done = optim.lr_scheduler.LambdaLR(run.optimizer, self.rate), 0
        while done < self.steps:
            for batch in run.batches(loader):
                with run.step(batch):
                    window_losses(run.model, batch[0]).mean().backward()  # type: ignore[no-untyped-call]
                    if self.clip is not None:
                        nn.utils.clip_grad_norm_(run.model.parameters(), self.clip)
                    run.optimizer.step()
                    run.optimizer.zero_grad()
                schedule.step()
                done += 1
                if done == self.steps:
                    return

    def behaviours(self, count: int = NUM_QUERIES) -> dict[str, Any]:
        """Return the loss of each query as a function of the model."""
        return {
            f"query {n}": lambda model, n=n: window_losses(model, self.queries[n : n + 1]).sum()
            for n in range(count)
        }
