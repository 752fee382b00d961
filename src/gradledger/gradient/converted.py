"""A form in another number format: autocast and half precision hand over half-format factors."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from gradledger.gradient.form import Form


def converted(form: Form, dtype: torch.dtype) -> Form:
    """Return a form whose gradients are in ``dtype``; the form itself where they are already.

    Factors are converted before they are multiplied, so that products of half-format factors are
    not rounded to the half format.
    """
    record: Any = form
    changed = {
        field.name: value.to(dtype)
        for field in fields(record)
        if isinstance(value := getattr(record, field.name), Tensor)
        and value.is_floating_point()
        and value.dtype != dtype
    }
    return replace(record, **changed) if changed else form
