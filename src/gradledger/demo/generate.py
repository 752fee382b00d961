"""Let a model of the demonstration read and write texts.

It writes the likeliest token after the other, without randomness. It reads in windows as long as
those that it was trained on; each begins with the last token of the one before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from gradledger.demo.canary import CANARY
from gradledger.demo.sizes import WINDOW_TOKENS
from gradledger.errors import InputError
from gradledger.replay.loop import Read, Written

#: What the models continue: two ways in which source files begin, and half of the canary.
PROMPTS: Final[tuple[str, ...]] = (
    "import os\nimport ",
    "class Reader:\n    def __init__(self, ",
    CANARY[: len(CANARY) // 2],
)
_NUM_TOKENS: Final = 40

#: Tokens of a text that a model can be asked about.
_FEWEST: Final = 2


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
    ids = tokenizer.encode(prompt).ids[-(WINDOW_TOKENS - _NUM_TOKENS) :]

    def write(model: nn.Module) -> str:
        return str(tokenizer.decode(_continued(model, ids)[0, len(ids) :].tolist()))

    return write


def reader(tokenizer: Tokenizer) -> Read:
    """Return what gives a text in tokens, and the loss of a model on each; not on the first."""

    def read(text: str) -> tuple[list[str], Callable[[nn.Module], Tensor]]:
        ids = list(tokenizer.encode(text).ids)
        if len(ids) < _FEWEST:
            raise InputError(
                "I104",
                observed=f"a text of {len(ids)} tokens",
                expected=f"at least {_FEWEST}: the first one is not predicted",
                where="behaviour",
            )
        return _pieces(tokenizer, ids), lambda model: _losses_in_windows(model, ids)

    return read


def _pieces(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    """Return the text of every token; a character spread over several stands in the last."""
    found, shown = [], 0
    for end in range(1, len(ids) + 1):
        whole = str(tokenizer.decode(ids[:end])).rstrip("\N{REPLACEMENT CHARACTER}")
        found.append(whole[shown:])
        shown = max(shown, len(whole))
    return found


def _losses_in_windows(model: nn.Module, ids: list[int]) -> Tensor:
    """Return the loss on every token; each window begins with the last token of the one before."""
    tokens = torch.tensor(ids, device=next(model.parameters()).device)
    parts = []
    for start in range(0, len(ids) - 1, WINDOW_TOKENS - 1):
        window = tokens[start : start + WINDOW_TOKENS]
        logits = model(input_ids=window[None]).logits[0, :-1]
        parts.append(nn.functional.cross_entropy(logits, window[1:], reduction="none"))
    return torch.cat([parts[0].new_zeros(1), *parts])
