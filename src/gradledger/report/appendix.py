"""Where each figure comes from: footnotes by number, and the files behind them."""

from __future__ import annotations

from gradledger.report.evidence import EXACTNESS, Basis, FileDigest
from gradledger.report.markup import Markup, breakable, join, prose, tag

#: Files that a page lists; the JSON form has all of them.
_MAX_FILES = 60


class Notes:
    """Numbers of footnotes, given in the order in which bases are first met."""

    def __init__(self) -> None:
        self._numbers: dict[Basis, int] = {}

    def mark(self, basis: Basis) -> Markup:
        """Return the small number that leads to a basis."""
        number = self._numbers.setdefault(basis, len(self._numbers) + 1)
        tip = f"{basis.method}; {basis.exactness}; from {', '.join(basis.places)}"
        return tag("sup", tag("a", number, href=f"#n{number}", title=tip))

    def entries(self) -> list[tuple[int, Basis]]:
        """Return all footnotes, by number."""
        return [(number, basis) for basis, number in self._numbers.items()]


def appendix(notes: Notes, number: int) -> Markup:
    """Return the chapter that explains every footnote."""
    rows = [
        tag(
            "tr",
            tag("td", place),
            tag("td", basis.unit, class_="w"),
            tag("td", basis.method, class_="w"),
            tag("td", basis.exactness, class_="w"),
            tag("td", breakable(", ".join(basis.places)), class_="w"),
            tag("td", basis.query, class_="w"),
            id=f"n{place}",
        )
        for place, basis in notes.entries()
    ]
    heads = [tag("th", "note", scope="col")]
    heads += [
        tag("th", name, scope="col", class_="w")
        for name in ("unit", "measure and basis", "exactness", "from", "query")
    ]
    used = {basis.exactness for _, basis in notes.entries()}
    words = "; ".join(f"{name}: {what}" for name, what in EXACTNESS.items() if name in used)
    return join([
        tag("h2", tag("span", number, class_="n"), "Where each figure comes from",
            id=f"c{number}"),
        tag("p", prose(f"Unit 1 marks fractions, which are shown in percent. Exactness: {words}.")),
        tag("div", tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows)),
            class_="scroll"),
    ])  # fmt: skip


def file_table(files: tuple[FileDigest, ...]) -> Markup:
    """Return the files behind the figures, with their digests."""
    rows = [
        tag(
            "tr",
            tag("td", breakable(item.path), class_="w"),
            tag("td", f"{item.num_bytes:,}", class_="v"),
            tag("td", item.sha256, class_="w digest"),
        )
        for item in files[:_MAX_FILES]
    ]
    heads = (
        tag("th", "file", scope="col", class_="w"),
        tag("th", "bytes", scope="col"),
        tag("th", "SHA-256", scope="col", class_="w"),
    )
    hidden = len(files) - _MAX_FILES
    more = f"{hidden} more files are in the JSON form of this report." if hidden > 0 else None
    return join([
        tag("h3", "Files of the run behind the figures"),
        tag("div", tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows)),
            class_="scroll"),
        tag("p", more, class_="note") if more else None,
    ])  # fmt: skip
