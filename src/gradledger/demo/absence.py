"""The demonstration's questions on what was not: removed, first used, never presented."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from gradledger.demo.progress import StepProgress
from gradledger.demo.replay import training_loop
from gradledger.ledger import Ledger
from gradledger.query import Answer, inert

if TYPE_CHECKING:
    from gradledger.demo.main import Demonstration


def executed_removal(ledger: Ledger, package: str, done: Demonstration, console: Console) -> Answer:
    """Execute the run again without a package; keep what fits a page."""
    loop, steps = training_loop(done.training, done.data), done.summary["steps"]
    with StepProgress(console, "executing", steps) as progress:
        answer = ledger.whatif(
            {"package": package},
            build=loop.build,
            train=lambda again: done.training.run(again, progress.advance),
            observe=loop.observe,
        )
    return replace(answer, notes=answer.notes[:3])


def first_use(ledger: Ledger, package: str) -> Answer:
    """Say when a package first acted; its table says the same of every block."""
    answer = ledger.first_use(where={"package": package})
    return replace(answer, tables=(), notes=answer.notes[:1])


def used_or_not(ledger: Ledger, done: Demonstration, console: Console) -> None:
    """Ask for the content of three windows: presented, refused, and one that was altered."""
    table = RichTable(box=None, pad_edge=False, header_style="bold")
    # The name stays in one line; the answer goes on in the next where it must.
    table.add_column("content of", no_wrap=True, overflow="ellipsis", max_width=34)
    table.add_column("found", justify="right")
    table.add_column("visits", justify="right")
    table.add_column("answer")
    for name, tokens in _contents(ledger, done):
        facts = ledger.exclude(content={"tokens": tokens}).facts
        found, visits = facts["found among them"], facts["visits"]
        table.add_row(Text(inert(name, 44)), str(found), str(visits), str(facts["answer"]))
    console.print(table)
    console.print("by commitments to the bytes; similar texts: exclude --text", style="dim")


def _contents(ledger: Ledger, done: Demonstration) -> list[tuple[str, object]]:
    """Return names and tokens of a window that was presented, a refused one, an altered one."""
    data = done.data
    first = int(ledger.trace(by="example", top=1).rows[0]["example"])
    refused = next(n for n, decision in enumerate(data.decisions) if decision.verdict != "admit")
    altered = data.tokens[first].copy()
    altered[0] = (altered[0] + 1) % data.vocab_size
    keys = data.columns["key"]
    return [
        (str(keys[first]), data.tokens[first]),
        (str(keys[refused]), data.tokens[refused]),
        ("the first, one token changed", altered),
    ]
