"""The demo's model: a Llama-style decoder with random weights, and how it is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn, optim

from gradledger.errors import InputError


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run besides its data.

    Attributes:
        size: Name of the size.
        hidden: Width of the residual stream.
        layers: Number of decoder layers.
        heads: Attention heads.
        steps: Optimizer steps.
        batch: Visits per step.
        learning_rate: Peak rate.
        warmup: Steps of linear warm-up.
        decay: Decoupled weight decay of matrices; vectors have none.
        clip: Largest global gradient norm.
        seed: Seed of initialisation and order.
        state_every: Steps between two stored states.
        visit_bits: Bits of the fraction that are kept of each visit's figures.
    """

    size: str
    hidden: int
    layers: int
    heads: int
    steps: int
    batch: int
    learning_rate: float = 3e-3
    warmup: int = 10
    decay: float = 0.1
    clip: float = 1.0
    seed: int = 20
    state_every: int = 10
    visit_bits: int = 23


RECIPES: Final[dict[str, Recipe]] = {
    recipe.size: recipe
    for recipe in (
        Recipe("tiny", hidden=64, layers=2, heads=4, steps=40, batch=8, warmup=5),
        Recipe("small", 96, 4, 4, 240, 8, warmup=20, state_every=80, visit_bits=9),
        Recipe("medium", 160, 4, 5, 300, 16, warmup=25, state_every=100, visit_bits=9),
    )
}


def recipe_of(size: str) -> Recipe:
    """Return the recipe of a size.

    Raises:
        InputError: There is no such size. Code I104.
    """
    if size not in RECIPES:
        raise InputError(
            "I104",
            observed=f"size {size!r}",
            expected="one of " + ", ".join(RECIPES),
            where="demo",
        )
    return RECIPES[size]


def build_model(recipe: Recipe, vocab_size: int, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Build the decoder with seeded random weights: at most two million parameters."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(recipe.seed)
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=recipe.hidden,
        intermediate_size=recipe.hidden * 5 // 2,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=128,
        tie_word_embeddings=False,
        use_cache=False,
    )
    model: nn.Module = LlamaForCausalLM(config)
    return model.to(dtype)


def build_optimizer(recipe: Recipe, model: nn.Module) -> optim.Optimizer:
    """Build AdamW with two param groups: matrices decay, vectors do not."""
    matrices = [value for value in model.parameters() if value.dim() > 1]
    vectors = [value for value in model.parameters() if value.dim() <= 1]
    return optim.AdamW(
        [
            {"params": matrices, "weight_decay": recipe.decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
        betas=(0.9, 0.99),
        eps=1e-8,
    )


def build_schedule(recipe: Recipe, optimizer: optim.Optimizer) -> optim.lr_scheduler.LambdaLR:
    """Build linear warm-up followed by a cosine to a tenth of the peak."""

    def rate(step: int) -> float:
        if step < recipe.warmup:
            return (step + 1) / recipe.warmup
        part = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
        return 0.1 + 0.45 * (1 + math.cos(math.pi * min(1.0, part)))

    return optim.lr_scheduler.LambdaLR(optimizer, rate)


def losses_per_window(model: nn.Module, tokens: Tensor) -> Tensor:
    """Return the mean next-token loss of every window, in nats per token.

    Args:
        model: The decoder.
        tokens: Windows, one row each.
    """
    logits = model(input_ids=tokens).logits[:, :-1]
    flat = nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), tokens[:, 1:].reshape(-1), reduction="none"
    )
    return flat.view(tokens.shape[0], -1).mean(1)
