"""What happens to a mistake in a policy: the first one is raised, or all of them are kept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from gradledger.errors import PolicyError

_PLACE: Final = re.compile(r":([0-9]+):([0-9]+)(?!.*:[0-9]+:[0-9]+)")


class Problems:
    """Mistakes met while a policy is read.

    Args:
        keep: Keep them and go on; else the first one is raised.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self._keep = keep
        self._found: list[PolicyError] = []

    def add(self, problem: PolicyError) -> None:
        """Keep a mistake, or raise it.

        Raises:
            PolicyError: The mistake, unless mistakes are kept.
        """
        if not self._keep:
            raise problem
        self._found.append(problem)

    @contextmanager
    def part(self) -> Iterator[None]:
        """Keep the mistake that ends a part of the work, and go on behind that part.

        Raises:
            PolicyError: The mistake, unless mistakes are kept.
        """
        try:
            yield
        except PolicyError as problem:
            if not self._keep:
                raise
            self._found.append(problem)

    def sorted(self) -> tuple[PolicyError, ...]:
        """Return the mistakes that were kept, each once, in the order of the document."""
        unique = {
            (problem.code, problem.where, problem.observed): problem for problem in self._found
        }
        return tuple(sorted(unique.values(), key=_position))


def line_and_column(problem: PolicyError) -> tuple[int, int] | None:
    """Return where a mistake stands, both from 1; None where it has no place in the document."""
    found = _PLACE.search(problem.where)
    return (int(found.group(1)), int(found.group(2))) if found else None


def _position(problem: PolicyError) -> tuple[int, int]:
    return line_and_column(problem) or (0, 0)
