"""The page on layers lists the registry, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path

import torch
import transformers.pytorch_utils

from gradledger.gradient import GENERIC, KINDS, find_kind

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "layers.md"
ROW = re.compile(r"^\| `(\w+)` \| (.*?) \|", re.MULTILINE)
BUILD = {
    "Linear": (2, 3),
    "Embedding": (2, 3),
    "EmbeddingBag": (2, 3),
    "LayerNorm": (3,),
    "RMSNorm": (3,),
    "GroupNorm": (1, 3),
    "Conv1D": (3, 2),
    "MultiheadAttention": (4, 2),
}


def build(path: str) -> torch.nn.Module:
    """Build a module that the page names, with any sizes."""
    owner = transformers.pytorch_utils if path.startswith("transformers") else torch.nn
    name = path.rpartition(".")[2]
    kind = getattr(owner, name)
    if name.startswith("InstanceNorm"):
        return kind(3, affine=True)
    return kind(*BUILD.get(name, (2, 3, 2) if name.startswith("Conv") else (2, 3)))


def test_the_table_lists_every_kind_in_order() -> None:
    listed = [name for name, _ in ROW.findall(PAGE.read_text(encoding="utf-8"))]
    assert listed == [kind.name for kind in (*KINDS, GENERIC)]


def test_every_module_in_the_table_has_the_kind_beside_it() -> None:
    seen = 0
    for name, modules in ROW.findall(PAGE.read_text(encoding="utf-8")):
        for path in re.findall(r"`((?:nn|transformers)\.[\w.]+)`", modules):
            kind, reason = find_kind(build(path))
            assert kind is not None, (path, reason)
            assert kind.name == name, path
            seen += 1
    assert seen >= 18
