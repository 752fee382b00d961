"""Run with the thread count and determinism flags of the record: other counts round otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def as_recorded(environment: Mapping[str, Any]) -> Iterator[None]:
    """Set threads and deterministic algorithms as recorded, and put them back afterwards.

    Args:
        environment: ``environment`` of a begin record.
    """
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_num_threads(int(environment.get("torch_threads") or threads))
    torch.use_deterministic_algorithms(
        bool(environment.get("deterministic_algorithms", deterministic)), warn_only=warn_only
    )
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
