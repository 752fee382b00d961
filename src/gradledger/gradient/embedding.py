"""Embedding tables: touched rows only."""

from __future__ import annotations

from torch import nn

from gradledger.gradient.form import Form
from gradledger.gradient.kind import Call
from gradledger.gradient.row_sparse import RowSparse
from gradledger.gradient.rows import split_rows


class EmbeddingKind:
    """Weight by scattering output gradients to the table rows that were read."""

    name = "embedding"
    wants_all_rows = False

    def refuses(self, module: nn.Module) -> str | None:
        """Accept plain ``nn.Embedding``; the options that change its gradient are refused."""
        if not isinstance(module, nn.Embedding) or type(module).forward is not nn.Embedding.forward:
            return "forward is not that of nn.Embedding"
        if module.sparse:
            return "sparse gradients are not booked; pass sparse=False"
        if module.max_norm is not None:
            return "max_norm rewrites the table in the forward pass"
        if module.scale_grad_by_freq:
            return "scale_grad_by_freq divides by counts over the whole batch"
        return None

    def forms(self, call: Call, names: frozenset[str]) -> dict[str, Form]:
        """Return the form of ``weight``."""
        module, grads = call.module, call.output_grad
        if grads is None or "weight" not in names or not isinstance(module, nn.Embedding):
            return {}
        tokens = split_rows(call.input.unsqueeze(-1), call.num_rows, "Embedding").squeeze(-1)
        return {
            "weight": RowSparse.from_tokens(
                tokens,
                grads.reshape(call.num_rows, tokens.shape[1], -1),
                (module.num_embeddings, module.embedding_dim),
                module.padding_idx,
            )
        }
