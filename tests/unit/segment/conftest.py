"""A disk that fails at a chosen call of open, write, fsync or replace."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

CALLS = ("open", "write", "fsync", "replace")


class FailingDisk:
    """Counts system calls that matter and fails at one of them."""

    def __init__(self, patch: pytest.MonkeyPatch, fail_at: int | None) -> None:
        self.num_calls, self._fail_at = 0, fail_at
        for name in CALLS:
            patch.setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.num_calls += 1
            if self.num_calls - 1 == self._fail_at:
                raise OSError(errno.ENOSPC, "No space left on device")
            return call(*args, **kwargs)

        return counted


class Disk:
    """What the fixture hands out."""

    @staticmethod
    def every_failure(act: Callable[[], Any]) -> Iterator[int]:
        """Run ``act`` with its first call failing, then its second, ...; yield after each."""
        place = 0
        while True:
            with pytest.MonkeyPatch.context() as patch:
                disk = FailingDisk(patch, place)
                failed = False
                try:
                    act()
                except Exception as error:
                    if getattr(error, "code", "") != "S112":
                        raise
                    failed = True
            if disk.num_calls <= place:
                return
            assert failed, f"call {place} failed and nobody was told"
            yield place
            place += 1


@pytest.fixture
def disk() -> Disk:
    return Disk()
