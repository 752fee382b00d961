"""Every error that Gradledger raises, in one tree with stable codes.

    GradledgerError
    |- InputError      I...   an argument, a batch or an id that is refused (also ValueError)
    |- PolicyError     P...   a policy unreadable or at odds with itself    (also ValueError)
    |- GradientError   G...   per-example gradients that cannot be measured
    |- UpdateError     U...   an optimizer whose update cannot be booked
    |- BooksError      B...   books that do not balance under ``strict``
    |- StorageError    S...   disk, permissions, a run that exists or is incomplete
    |- LogError        L...   a log, key, checkpoint or proof that cannot be used
    |- ReplayError     R...   a run that cannot be repeated
    |- WebError        W...   a page that cannot be served, or a request that is refused
    `- QueryError      Q...   a question that the ledger cannot answer      (also ValueError)

A message says what was observed, what was expected, where, and one next step.
Tampering is not an error: verification returns findings. Errors mean "could not go on".
"""

from __future__ import annotations

from gradledger._codes import CODES

__all__ = [
    "BooksError",
    "GradientError",
    "GradledgerError",
    "InputError",
    "LogError",
    "PolicyError",
    "QueryError",
    "ReplayError",
    "StorageError",
    "UpdateError",
    "WebError",
]


class GradledgerError(Exception):
    """Base of all errors; carries the parts of its message as attributes.

    Args:
        code: Stable code from ``CODES``, such as ``"P101"``.
        observed: What was met, with its value.
        expected: What would have been right, same unit as ``observed``.
        where: Run, step, example, parameter group, file and line: whichever exist.
        hint: One imperative next step; empty if none is known.
    """

    prefix = ""

    def __init__(
        self, code: str, *, observed: str, expected: str, where: str = "", hint: str = ""
    ) -> None:
        self.code = code
        self.title = CODES[code]
        self.observed = observed
        self.expected = expected
        self.where = where
        self.hint = hint
        place = f" ({where})" if where else ""
        text = f"[{code}] {self.title}: observed {observed}, expected {expected}{place}"
        if hint:
            text += f"\nhint: {hint}"
        super().__init__(text)

    def __reduce__(self) -> tuple[object, ...]:
        """Keep errors picklable across worker processes."""
        return (
            _rebuild,
            (type(self), self.code, self.observed, self.expected, self.where, self.hint),
        )

    def to_dict(self) -> dict[str, str]:
        """Return the parts as plain text fields, for ``--json`` output."""
        return {
            "code": self.code,
            "title": self.title,
            "observed": self.observed,
            "expected": self.expected,
            "where": self.where,
            "hint": self.hint,
        }


def _rebuild(
    kind: type[GradledgerError], code: str, observed: str, expected: str, where: str, hint: str
) -> GradledgerError:
    return kind(code, observed=observed, expected=expected, where=where, hint=hint)


class InputError(GradledgerError, ValueError):
    """An argument, a batch or an id that cannot be accepted."""

    prefix = "I"


class PolicyError(GradledgerError, ValueError):
    """A policy that cannot be read or contradicts itself."""

    prefix = "P"


class GradientError(GradledgerError):
    """Per-example gradients that cannot be measured."""

    prefix = "G"


class UpdateError(GradledgerError):
    """An optimizer whose update cannot be booked."""

    prefix = "U"


class BooksError(GradledgerError):
    """Books that do not balance under ``strict``."""

    prefix = "B"


class StorageError(GradledgerError):
    """Disk, permissions, a run that exists or is incomplete."""

    prefix = "S"


class LogError(GradledgerError):
    """A log, key, checkpoint or proof that cannot be used."""

    prefix = "L"


class ReplayError(GradledgerError):
    """A run that cannot be repeated."""

    prefix = "R"


class QueryError(GradledgerError, ValueError):
    """A question that the ledger cannot answer."""

    prefix = "Q"


class WebError(GradledgerError):
    """A page that cannot be served, or a request that is refused."""

    prefix = "W"
