"""Let a model of the demonstration write: the likeliest token after the other, no randomness."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from gradledger.demo.canary import CANARY
from gradledger.replay.loop import Written

#: What the models continue: two ways in which source files begin, and half of the canary.
PROMPTS: Final[tuple[str, ...]] = (
    "import os\nimport ",
    "class Reader:\n    def __init__(self, ",
    CANARY[: len(CANARY) // 2],
)
_NUM_TOKENS: Final = 40


def writers(tokenizer: Tokenizer) -> dict[str, Callable[[nn.Module], str]]:
    """Return what writes the continuation of every prompt."""
    return {prompt: _writer(tokenizer, prompt) for prompt in PROMPTS}


def written(tokenizer: Tokenizer) -> Callable[[str], Written]:
    """Return what writes after any prompt, piece by piece, with the loss of each piece."""

    def after(prompt: str) -> Written:
        ids = tokenizer.encode(prompt).ids

        def write(model: nn.Module) -> tuple[list[str], Callable[[nn.Module], Tensor]]:
            own = _continued(model, ids)[0, len(ids) :].tolist()
            pieces = [tokenizer.decode([number]) for number in own]
            return pieces, lambda other: _losses(other, ids, own)

        return write

    return after


def _losses(model: nn.Module, ids: list[int], own: list[int]) -> Tensor:
    device = next(model.parameters()).device
    tokens = torch.tensor([ids + own], device=device)
    logits = model(input_ids=tokens[:, :-1]).logits[0, len(ids) - 1 :]
    return nn.functional.cross_entropy(logits, tokens[0, len(ids) :], reduction="none")


def _continued(model: nn.Module, ids: list[int]) -> Tensor:
    """Return prompt and continuation as token numbers, shape (1, tokens)."""
    tokens = torch.tensor([ids], device=next(model.parameters()).device)
    for _ in range(_NUM_TOKENS):
        likeliest = model(input_ids=tokens).logits[:, -1].argmax(-1, keepdim=True)
        tokens = torch.cat([tokens, likeliest], 1)
    return tokens


def _writer(tokenizer: Tokenizer, prompt: str) -> Callable[[nn.Module], str]:
    ids = tokenizer.encode(prompt).ids

    def write(model: nn.Module) -> str:
        return str(tokenizer.decode(_continued(model, ids)[0, len(ids) :].tolist()))

    return write
