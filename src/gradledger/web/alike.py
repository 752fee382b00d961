"""Which examples share words with a text: candidates for a person to look at, never causes."""

from __future__ import annotations

from typing import Any, Final

from gradledger.ledger import Ledger
from gradledger.query import answer_to_json
from gradledger.schema import EXAMPLES
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
    texts = _Texts(ledger, contents)
    if len(texts.metadata) > _MOST_EXAMPLES:
        return _nothing(f"{len(texts.metadata)} examples are too many to be read here")
    found = ledger.exclude(text=text, texts=texts, threshold=_THRESHOLD, top=_TOP)
    if texts.num_found:
        return {"alike": answer_to_json(found), "not_alike": ""}
    if contents.folders:
        return _nothing("no content of an example was found in the folders given")
    return _nothing("no folder of contents was given: gradledger serve --content FOLDER")


class _Texts:
    """Contents of examples by number, and how many of those asked for were found."""

    def __init__(self, ledger: Ledger, contents: Contents) -> None:
        table = read_table(ledger.path, "decisions/examples")
        numbers = table["example"].to_pylist()
        # Columns of the record itself, such as the commitment to a content, are no metadata.
        rows = table.drop_columns([name for name in EXAMPLES if name in table.column_names])
        self.metadata = dict(zip(numbers, rows.to_pylist(), strict=True))
        self.num_found, self._contents = 0, contents

    def __call__(self, example: int) -> str | None:
        text = self._contents.find(self.metadata[example]).text
        self.num_found += bool(text)
        return text or None


def _nothing(why: str) -> dict[str, Any]:
    return {"alike": None, "not_alike": why}
