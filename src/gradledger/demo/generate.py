"""Let a model of the demonstration write: the likeliest token after the other, no randomness."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from tokenizers import Tokenizer
from torch import nn

from gradledger.demo.canary import CANARY

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


def _writer(tokenizer: Tokenizer, prompt: str) -> Callable[[nn.Module], str]:
    ids = tokenizer.encode(prompt).ids

    def write(model: nn.Module) -> str:
        device = next(model.parameters()).device
        tokens = torch.tensor([ids], device=device)
        for _ in range(_NUM_TOKENS):
            likeliest = model(input_ids=tokens).logits[:, -1].argmax(-1, keepdim=True)
            tokens = torch.cat([tokens, likeliest], 1)
        return str(tokenizer.decode(tokens[0, len(ids) :].tolist()))

    return write
