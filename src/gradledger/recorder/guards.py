"""Guards: what cannot be recorded, found in the model before the first step."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from gradledger.errors import UpdateError

__all__ = ["refuse_sparse", "refuse_sparse_gradient"]

_HINT = "build embeddings with sparse=False: the books measure only the rows that were touched"


def refuse_sparse(model: nn.Module, booked: Iterable[nn.Parameter]) -> None:
    """Refuse modules whose booked parameters get sparse gradients.

    Raises:
        UpdateError: Code U103.
    """
    wanted = {id(parameter) for parameter in booked}
    for path, module in model.named_modules():
        own = {id(parameter) for parameter in module.parameters(recurse=False)}
        if getattr(module, "sparse", False) is True and own & wanted:
            raise UpdateError(
                "U103",
                observed=f"sparse=True in {path or 'the model'} ({type(module).__name__})",
                expected="dense gradients",
                where="gl.record",
                hint=_HINT,
            )


def refuse_sparse_gradient(name: str, gradient: Tensor) -> None:
    """Refuse a sparse gradient that arrived all the same, before it is used.

    Raises:
        UpdateError: Code U103.
    """
    if gradient.is_sparse:
        raise UpdateError(
            "U103",
            observed="a sparse gradient",
            expected="dense gradients",
            where=name,
            hint=_HINT,
        )
