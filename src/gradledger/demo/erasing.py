"""The demonstration's last question: take one example out of the model, from the middle of the run.

The example is one that was first presented late, so that most of the run need not be executed
again: the replay begins with the last model state before it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from gradledger.demo.integrity import demo_key
from gradledger.demo.progress import StepProgress
from gradledger.demo.replay import training_loop
from gradledger.ledger import Ledger
from gradledger.query import Answer, inert
from gradledger.segment import read_table

if TYPE_CHECKING:
    from gradledger.demo.main import Demonstration


def latest_example(run_dir: Path) -> int:
    """Return the example whose first visit is the latest of all."""
    visits = read_table(run_dir, "visits", ["step", "example"]).to_pydict()
    first: dict[int, int] = {}
    for step, example in zip(visits["step"], visits["example"], strict=True):
        first[example] = min(step, first.get(example, step))
    return max(first, key=lambda example: (first[example], example))


def removed_from_the_middle(
    ledger: Ledger, example: int, done: Demonstration, console: Console
) -> Answer:
    """Execute the run without one example, from the last state before it; texts beside it."""
    loop = training_loop(done.training, done.data)
    with StepProgress(console, "executing", done.summary["steps"]) as progress:
        return ledger.whatif(
            example,
            build=loop.build,
            train=lambda again: done.training.run(again, progress.advance),
            observe=loop.observe,
            generate=loop.generate,
        )


def erase_example(ledger: Ledger, example: int, done: Demonstration, console: Console) -> Answer:
    """Erase the example: the replay that was just executed, certified and logged.

    It is not put on the list that later admissions deny: the demonstration is made to be repeated.
    """
    loop = training_loop(done.training, done.data)
    answer = ledger.erase(
        example,
        reason="demonstration",
        key=demo_key(done.run_dir),
        deny=False,
        build=loop.build,
        train=loop.train,
    )
    name = str(done.data.columns["key"][example])
    console.print(Text(f"erased: {inert(name, 90)}"))
    return answer
