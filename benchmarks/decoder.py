"""The decoder that cost and passivity are measured on: 6 layers, d = 384, T = 256, B = 8."""

from __future__ import annotations

import torch
from torch import Tensor, nn, optim

VOCABULARY, POSITIONS, ROWS = 2048, 256, 8


def build_decoder(layers: int = 6, width: int = 384, heads: int = 6) -> nn.Module:
    """Build a Llama-style decoder with seeded random weights, float32."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=width * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=POSITIONS,
        use_cache=False,
    )
    model: nn.Module = LlamaForCausalLM(config)
    return model


def random_windows(count: int, positions: int = POSITIONS, seed: int = 1) -> Tensor:
    """Draw token windows."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, VOCABULARY, (count, positions), generator=generator)


def train_step(model: nn.Module, optimizer: optim.Optimizer, tokens: Tensor) -> None:
    """Take one ordinary step with clipping by global norm."""
    logits = model(input_ids=tokens).logits[:, :-1]
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
