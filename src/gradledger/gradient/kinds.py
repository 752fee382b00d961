"""The registry: every layer kind, in the order in which a module is offered to them."""

from __future__ import annotations

from typing import Final

from torch import nn

from gradledger.gradient.attention import AttentionKind
from gradledger.gradient.conv import ConvKind
from gradledger.gradient.conv_transpose import ConvTransposeKind
from gradledger.gradient.embedding import EmbeddingKind
from gradledger.gradient.embedding_bag import EmbeddingBagKind
from gradledger.gradient.generic import GenericKind
from gradledger.gradient.group_norm import GroupNormKind
from gradledger.gradient.instance_norm import InstanceNormKind
from gradledger.gradient.kind import LayerKind
from gradledger.gradient.layer_norm import LayerNormKind
from gradledger.gradient.linear import LinearKind
from gradledger.gradient.recurrent import RecurrentKind
from gradledger.gradient.rms_norm import RMSNormKind
from gradledger.gradient.rms_norm_float32 import Float32RMSNormKind
from gradledger.gradient.transposed_linear import TransposedLinearKind

KINDS: Final[tuple[LayerKind, ...]] = (
    LinearKind(),
    EmbeddingKind(),
    LayerNormKind(),
    RMSNormKind(),
    Float32RMSNormKind(),
    ConvKind(),
    ConvTransposeKind(),
    GroupNormKind(),
    InstanceNormKind(),
    TransposedLinearKind(),
    EmbeddingBagKind(),
    AttentionKind(),
    RecurrentKind(),
)

#: Tried when no kind knows the module.
GENERIC: Final[LayerKind] = GenericKind()


def find_kind(module: nn.Module) -> tuple[LayerKind | None, str]:
    """Return the kind that captures a module, or None with the reason.

    A module of a known class with an option that its kind refuses is not passed on to the
    generic route: the refusal names what the generic route could not see either.
    """
    extra = {name for name, _ in module.named_parameters(recurse=False)} - {"weight", "bias"}
    for kind in KINDS:
        if (reason := kind.refuses(module)) is None:
            if extra and not kind.wants_all_rows:
                break  # Such as weight_norm: the kind would not see where its weight comes from.
            return kind, ""
        if not reason.startswith("forward is not"):
            return None, reason
    reason = GENERIC.refuses(module)
    return (None, reason) if reason else (GENERIC, "")
