"""The registry: every layer kind, in the order in which a module is offered to them."""

from __future__ import annotations

from typing import Final

from torch import nn

from gradledger.gradient.embedding import EmbeddingKind
from gradledger.gradient.generic import GenericKind
from gradledger.gradient.kind import LayerKind
from gradledger.gradient.layer_norm import LayerNormKind
from gradledger.gradient.linear import LinearKind
from gradledger.gradient.rms_norm import RMSNormKind

KINDS: Final[tuple[LayerKind, ...]] = (
    LinearKind(),
    EmbeddingKind(),
    LayerNormKind(),
    RMSNormKind(),
)

#: Tried when no kind knows the module.
GENERIC: Final[LayerKind] = GenericKind()


def find_kind(module: nn.Module) -> tuple[LayerKind | None, str]:
    """Return the kind that captures a module, or None with the reason.

    A module of a known class with an option that its kind refuses is not passed on to the
    generic route: the refusal names what the generic route could not see either.
    """
    for kind in KINDS:
        if (reason := kind.refuses(module)) is None:
            return kind, ""
        if not reason.startswith("forward is not"):
            return None, reason
    reason = GENERIC.refuses(module)
    return (None, reason) if reason else (GENERIC, "")
