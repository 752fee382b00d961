"""Which blocks a selector means: a name, a pattern of whole names, or a range of a stack.

``model.norm`` is one block. In ``model.layers.*`` the star stands for one name between dots, and
``**`` for one or more. ``model.layers[0:3]`` are the blocks numbered 0, 1 and 2 below
``model.layers``; ``[:2]`` counts from the first, ``[-2:]`` from the last; ``[0:2]`` alone is a
stack without a prefix, as in ``torch.nn.Sequential``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gradledger.errors import PolicyError

_RANGE: Final = re.compile(r"([^\[\]*]*)\[(-?[0-9]{1,6})?:(-?[0-9]{1,6})?\]\Z")
_NUM_NEAREST: Final = 5


@dataclass(frozen=True)
class Selector:
    """A selector as written, and where.

    Attributes:
        text: Its text.
        where: ``file:line:column``.
    """

    text: str
    where: str

    @property
    def is_exact(self) -> bool:
        """Whether it names one block; such a selector goes before patterns and ranges."""
        return not set(self.text) & set("*[]")

    def check(self) -> None:
        """Check the form, which needs no model.

        Raises:
            PolicyError: P144.
        """
        if self.is_exact:
            return
        if "[" in self.text or "]" in self.text:
            match = _RANGE.match(self.text)
            if match is None:
                raise self._malformed("a range such as model.layers[0:3], [:2] or [-2:]")
            start, stop = match.group(2), match.group(3)
            both = start is not None and stop is not None
            if both and (int(start) < 0) == (int(stop) < 0) and int(start) >= int(stop):
                raise self._malformed("a range that holds at least one block")
        elif any("*" in part and part not in {"*", "**"} for part in self.text.split(".")):
            raise self._malformed("* or ** in place of whole names between dots")

    def select(self, blocks: Sequence[str]) -> list[int]:
        """Return the places of the blocks that are meant, at least one.

        Raises:
            PolicyError: P142 where the model has no such block.
        """
        if match := _RANGE.match(self.text):
            return self._range(match.group(1), match.group(2), match.group(3), blocks)
        if self.is_exact:
            found = [place for place, block in enumerate(blocks) if block == self.text]
        else:
            pattern = _pattern(self.text)
            found = [place for place, block in enumerate(blocks) if pattern.match(block)]
        if not found:
            raise self._unknown(blocks)
        return found

    def _range(
        self, prefix: str, start: str | None, stop: str | None, blocks: Sequence[str]
    ) -> list[int]:
        numbers: dict[int, int] = {}
        head = f"{prefix}." if prefix else ""
        for place, block in enumerate(blocks):
            number = block.removeprefix(head).split(".")[0]
            if block.startswith(head) and number.isascii() and number.isdigit():
                numbers[place] = int(number)
        if not numbers:
            raise self._unknown(blocks)
        size = max(numbers.values()) + 1
        from_end = [text for text in (start, stop) if text is not None and int(text) < 0]
        if from_end and set(numbers.values()) != set(range(size)):
            missing = min(set(range(size)) - set(numbers.values()))
            raise PolicyError(
                "P142",
                observed=f"{self.text!r}, where block {head}{missing} has no parameters",
                expected="numbers from the start where a stack has holes",
                where=self.where,
            )
        first, last = _bound(start, 0, size), _bound(stop, size, size)
        chosen = [place for place, number in numbers.items() if first <= number < last]
        if not chosen or not 0 <= first < last <= size:
            raise PolicyError(
                "P142",
                observed=f"{self.text!r}",
                expected=f"a range within {prefix or 'the stack'}[0:{size}]",
                where=self.where,
                hint="the model has fewer blocks than the policy assumes",
            )
        return chosen

    def _unknown(self, blocks: Sequence[str]) -> PolicyError:
        stem = self.text.split("[")[0] or self.text
        near = difflib.get_close_matches(stem, blocks, _NUM_NEAREST, cutoff=0.3)
        names = near or list(blocks[:_NUM_NEAREST])
        return PolicyError(
            "P142",
            observed=f"{self.text!r}, which is no block of the model",
            expected=f"one of its {len(blocks)} blocks, such as {', '.join(names)}",
            where=self.where,
            hint=f"write {near[0]!r}" if near else "",
        )

    def _malformed(self, expected: str) -> PolicyError:
        return PolicyError("P144", observed=repr(self.text), expected=expected, where=self.where)


def _bound(text: str | None, default: int, size: int) -> int:
    if text is None:
        return default
    return int(text) + size if text.startswith("-") else int(text)


def _pattern(text: str) -> re.Pattern[str]:
    one, more = r"[^.]+", r"[^.]+(?:\.[^.]+)*?"
    parts = ({"*": one, "**": more}.get(part) or re.escape(part) for part in text.split("."))
    return re.compile(r"\.".join(parts) + r"\Z")
