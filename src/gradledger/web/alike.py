"""Which examples share words with a text: candidates for a person to look at, never causes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gradledger.ledger import Ledger
from gradledger.query import answer_to_json
from gradledger.segment import read_table
from gradledger.web.content import Contents

#: Smallest part in common that is told, examples that are told, examples that are compared.
_THRESHOLD: Final = 0.02
_TOP: Final = 300
_MOST_EXAMPLES: Final = 50_000


def alike(ledger: Ledger, contents: Contents, text: str) -> dict[str, Any]:
    """Return the examples whose contents share words with a text.

    Args:
        ledger: The run.
        contents: Where contents of examples are found.
        text: The text.

    Returns:
        ``alike``: the answer as JSON; or None, and ``not_alike``: why nothing was compared.
    """
    texts, number = _texts(ledger, contents)
    if number > _MOST_EXAMPLES:
        return {"alike": None, "not_alike": f"{number} examples are too many to be read here"}
    found = ledger.exclude(text=text, texts=texts, threshold=_THRESHOLD, top=_TOP)
    seen = sum(bool(texts(example)) for example in range(min(number, 1)))
    if not found.table("candidates").rows and not seen and not contents.folders:
        return {"alike": None, "not_alike": "no folder of contents was given: --content FOLDER"}
    return {"alike": answer_to_json(found), "not_alike": ""}


def _texts(ledger: Ledger, contents: Contents) -> tuple[Callable[[int], str | None], int]:
    """Return what gives the text of an example by number, and how many examples there are."""
    rows = read_table(ledger.path, "decisions/examples").to_pylist()
    metadata = {int(row["example"]): row for row in rows}
    return lambda number: contents.find(metadata[number]).text or None, len(rows)
