"""Show what shaped the demo's capabilities, and that the canary's known cause is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gradledger.ledger import Ledger
from gradledger.query import inert

if TYPE_CHECKING:
    from gradledger.demo.data import DemoData

#: What the tops of a capability are listed by.
TOPS: Final[tuple[str, ...]] = ("package", "class", "rule")
_NUM_TOP: Final = 4
_ALL: Final = 100_000


def tops_table(ledger: Ledger, name: str) -> Table:
    """Return what lowered the loss of a probe most, by package, class and rule, side by side.

    Args:
        ledger: The run, settled with probes.
        name: The probe.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns: list[list[tuple[str, str]]] = []
    for by in TOPS:
        table.add_column(by, no_wrap=True, overflow="ellipsis", max_width=22)
        table.add_column("nats", justify="right")
        rows = ledger.capability(name, by=by, top=_NUM_TOP, order="negative").rows
        columns.append([(str(row[by] or "-"), f"{row['nats']:+.4f}") for row in rows])
    for place in range(max(map(len, columns), default=0)):
        row = [column[place] if place < len(column) else ("", "") for column in columns]
        table.add_row(*(Text(inert(cell, 60)) for pair in row for cell in pair))
    return table


def canary_ranks(ledger: Ledger, data: DemoData) -> dict[str, int]:
    """Return the place of each planted package among those that lowered the canary's loss.

    Args:
        ledger: The run, settled with probes.
        data: Says where the canary was planted.

    Returns:
        Package to place, from 1; 0 where it did not lower the loss.
    """
    rows = ledger.capability("canary", by="package", top=_ALL, order="negative").rows
    places = {row["package"]: place for place, row in enumerate(rows, 1)}
    return {package: places.get(package, 0) for package in data.counts["planted"]}


def show_canary(ledger: Ledger, data: DemoData, console: Console) -> None:
    """Say where the canary was planted, and where the books look for its cause."""
    planted = data.counts["planted"]
    where = " and ".join(f"{package} ({count} windows)" for package, count in planted.items())
    found = ", ".join(f"{name} {place}" for name, place in canary_ranks(ledger, data).items())
    num_packages = len(set(data.columns["package"]))
    console.print(
        Text(f"planted in {where}; place among {num_packages} packages by nats: {found}"),
        style="dim",
    )
