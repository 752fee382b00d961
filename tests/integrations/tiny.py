"""Tiny data that every framework is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from gradledger.segment import read_table


class Tokens(torch.utils.data.Dataset):
    """Twelve short sequences as mappings of lists, of different lengths."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(5)
        self.rows = torch.randint(1, 32, (12, 8), generator=generator)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        tokens = self.rows[index, : 5 + index % 4].tolist()
        return {"input_ids": tokens, "labels": tokens, "unused": "text"}


def pad(items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Pad as collators do."""
    width = max(len(item["input_ids"]) for item in items)

    def filled(name: str, value: int) -> torch.Tensor:
        rows = [item[name] + [value] * (width - len(item[name])) for item in items]
        return torch.tensor(rows)

    ids = filled("input_ids", 0)
    return {"input_ids": ids, "labels": filled("labels", -100), "attention_mask": (ids != 0).long()}


def llama() -> Any:
    """A real decoder of transformers, one layer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=32,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config)


def assert_same_bits(first: torch.nn.Module, second: torch.nn.Module) -> None:
    for (name, a), b in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b), name


def assert_booked(folder: Path, num_steps: int, num_visits: int) -> None:
    """Every step is there and balances; every visit names its example."""
    books = read_table(folder, "books").to_pydict()
    steps = read_table(folder, "steps").to_pydict()
    visits = read_table(folder, "visits").to_pydict()
    assert steps["step"] == list(range(1, num_steps + 1))
    assert set(books["verdict"]) <= {"balanced", "not testable at this precision"}
    assert max(books["residual_ratio"]) <= 1e-5
    assert len(visits["example"]) == num_visits
    assert (folder / "end.json").exists()
