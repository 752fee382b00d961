"""Show what the ledger answers about the demonstration, in the order of the story."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from gradledger.demo.absence import executed_removal, first_use, used_or_not
from gradledger.demo.authority import refused_example, what_successor_changes, why_refused
from gradledger.demo.behind import behind, since_step
from gradledger.demo.erasing import erase_example, latest_example, removed_from_the_middle
from gradledger.demo.present_probes import show_canary, tops_table
from gradledger.ledger import Ledger, open_ledger
from gradledger.query import Answer, Table, inert

if TYPE_CHECKING:
    from gradledger.demo.main import Demonstration

#: Values shown per table; what is left is added up in one row.
_ROWS_SHOWN: Final = 10
_ROWS_ASKED: Final = 100_000
_SHOWN_SHARE: Final = 5e-5
#: Formats below single precision have no derivative through a run.
_SINGLE_BYTES: Final = 4


def present(done: Demonstration, console: Console) -> None:
    """Answer the questions of the demonstration."""
    with open_ledger(done.run_dir) as ledger:
        block = _middle_block(ledger)
        _heading(console, "Is it balanced?", f"gradledger books {done.run_dir}")
        console.print(_brief(ledger.books(), "units", "displacement", "balance"))
        for by in ("effective_license", "class", "package"):
            _heading(
                console,
                f"What shaped each block, by {by.replace('_', ' ')}?",
                f"gradledger trace {done.run_dir} --by {by} --group BLOCK",
            )
            _by_block(ledger, by, console)
        _heading(
            console,
            f"Which examples moved {block} most?",
            f"gradledger trace {done.run_dir} --group {block} --top 5",
        )
        _top_examples(ledger, block, done, console)
        package = _largest(ledger, "package")
        _heading(
            console,
            f"What did {package} do?",
            f"gradledger follow {done.run_dir} --where package={package}",
        )
        console.print(_brief(ledger.follow(where={"package": package}), "where", "when"))
        _probes(ledger, done, console)
        _behind(ledger, done, console)
        _absence(ledger, package, done, console)
        _erasure(ledger, done, console)
        _heading(console, "What was refused, and why?", f"gradledger decide {done.run_dir}")
        console.print(ledger.decisions())
        _authority(done, console)
        last = int(done.summary["steps"])
        _heading(
            console, "What changed from start to end?", f"gradledger diff {done.run_dir} 0 {last}"
        )
        console.print(_brief(ledger.diff(0, last), "units", "movers"))
        page = ledger.report("rights").write(
            done.run_dir.with_name(f"{done.run_dir.name}.rights.html")
        )
    _closing(done, console)
    console.print(f"The rights report is {page}; open it in a browser.")


def _absence(ledger: Ledger, package: str, done: Demonstration, console: Console) -> None:
    """Ask what was not: the model without a package, the time before it, content never used."""
    of_package = f"{done.run_dir} --where package={package}"
    _heading(
        console,
        f"What would the model be without {package}?",
        f"gradledger whatif {of_package} --how replay",
    )
    console.print(executed_removal(ledger, package, done, console))
    _heading(console, f"When was {package} first used?", f"gradledger first-use {of_package}")
    console.print(first_use(ledger, package))
    _heading(console, "Was this content used?", f"gradledger exclude {done.run_dir} --content FILE")
    used_or_not(ledger, done, console)


def _erasure(ledger: Ledger, done: Demonstration, console: Console) -> None:
    """Take one late example out: executed from the middle, as a page, then erased and certified."""
    example, run_dir = latest_example(done.run_dir), done.run_dir
    _heading(
        console,
        f"What would it be without example {example}?",
        f"gradledger whatif {run_dir} --example {example} --html PAGE",
    )
    answer = removed_from_the_middle(ledger, example, done, console)
    console.print(_brief(answer, "units", "observations"))
    page = ledger.page_of(answer).write(run_dir.with_name(f"{run_dir.name}.whatif.html"))
    console.print(f"With the texts that both models write: {page}", style="dim")
    _heading(
        console,
        f"Take example {example} out, and prove it",
        f"gradledger erase {run_dir} --example {example} --key {run_dir}.key --no-deny",
    )
    console.print(_brief(erase_example(ledger, example, done, console), "remains"))


def _authority(done: Demonstration, console: Console) -> None:
    """Explain a refusal, and compare the policy with a successor."""
    example = refused_example(done.data)
    _heading(
        console,
        f"Why was example {example} refused?",
        f"gradledger policy explain --run {done.run_dir} --example {example}",
    )
    console.print(why_refused(done))
    _heading(
        console,
        "What would a stricter policy decide?",
        "gradledger policy diff policy.yaml policy-strict.yaml --on windows.jsonl",
    )
    console.print(what_successor_changes(done.data, done.decided_at))


def _brief(answer: Answer, *names: str) -> Answer:
    """Keep the tables of these names, and of them the rows that are not exactly nothing."""
    tables = tuple(_without_zeros(answer.table(name)) for name in names)
    return replace(answer, tables=tables, notes=answer.notes[:1])


def _without_zeros(table: Table) -> Table:
    """Leave out lines of the books that rounding to four places would show as nothing."""
    names = [column.name for column in table.columns]
    if "line" not in names or "share" not in names:
        return table
    share = names.index("share")
    kept = tuple(row for row in table.rows if abs(row[share] or 0.0) >= _SHOWN_SHARE)
    left_out = len(table.rows) - len(kept)
    title = f"{table.title} ({left_out} lines below {_SHOWN_SHARE:g} not shown)"
    return replace(table, rows=kept, title=title if left_out else table.title)


def _heading(console: Console, question: str, command: str) -> None:
    console.print()
    console.rule(Text(question, style="bold"), align="left")
    console.print(Text(f"$ {command}", style="dim"))


def _middle_block(ledger: Ledger) -> str:
    blocks = [block for block in ledger.begin.blocks if ".layers." in block]
    return blocks[len(blocks) // 2]


def _largest(ledger: Ledger, by: str) -> str:
    """Name what owns the largest share of the whole displacement."""
    return str(ledger.trace(by=by, top=1).rows[0][by])


def _by_block(ledger: Ledger, by: str, console: Console) -> None:
    """One row per value, one column per block: shares of each block's displacement."""
    blocks = ledger.begin.blocks
    shares: dict[str, dict[str, float]] = {}
    for block in blocks:
        for row in ledger.trace(block, by=by, top=_ROWS_ASKED).rows:
            shares.setdefault(_word(row[by]), {})[block] = row["share"] or 0.0
    size = {key: max(abs(value) for value in row.values()) for key, row in shares.items()}
    table = RichTable(box=None, pad_edge=False, header_style="bold")
    table.add_column(by, overflow="ellipsis", no_wrap=True, max_width=34)
    for block in blocks:
        table.add_column(_short(block), justify="right")
    ranked = sorted(shares, key=lambda key: (-size[key], key))
    for key in ranked[:_ROWS_SHOWN]:
        cells = [f"{100 * shares[key].get(block, 0.0):+.1f}" for block in blocks]
        table.add_row(Text(inert(key, 60)), *cells)
    if len(ranked) > _ROWS_SHOWN:
        rest = [
            sum(shares[key].get(block, 0.0) for key in ranked[_ROWS_SHOWN:]) for block in blocks
        ]
        table.add_row(
            f"{len(ranked) - _ROWS_SHOWN} more", *(f"{100 * value:+.1f}" for value in rest)
        )
    total = [sum(row.get(block, 0.0) for row in shares.values()) for block in blocks]
    table.add_section()
    table.add_row("all visits", *(f"{100 * value:+.1f}" for value in total), style="dim")
    console.print(table)
    console.print(
        "percent of each block's displacement, accrual basis; the rest is inventory, revaluation "
        "and decay",
        style="dim",
    )


def _word(value: object) -> str:
    return "(not recorded)" if value is None else str(value)


def _short(block: str) -> str:
    """Name a block in a narrow column."""
    words = {"model.embed_tokens": "embed", "model.norm": "norm", "lm_head": "head"}
    return words.get(block, block.removeprefix("model."))


def _top_examples(ledger: Ledger, block: str, done: Demonstration, console: Console) -> None:
    """Rank the examples of a block and quote the first lines of each."""
    answer = ledger.trace(block, top=5)
    console.print(_brief(answer, "ranking"))
    for row in answer.rows[:3]:
        text = done.data.text(int(row["example"]))
        place = int(row["example"])
        key = inert(done.data.columns["key"][place], 90)
        console.print(Text(f"\n#{row['rank']}  {key}", style="bold"))
        for line in text.splitlines()[:6]:
            console.print(Text("    " + inert(line, 92)))


def _probes(ledger: Ledger, done: Demonstration, console: Console) -> None:
    """Show how each behaviour moved and, for two of them, what moved it."""
    names = list(done.data.probe_tokens)
    _heading(
        console, "What can it do, and what taught it?", f"gradledger capability {done.run_dir}"
    )
    console.print(ledger.capabilities())
    for name in dict.fromkeys((names[0], names[-1])):
        _heading(
            console,
            f"What shaped {name}?",
            f"gradledger capability {done.run_dir} {name!r} --by package --order negative",
        )
        console.print(tops_table(ledger, name))
        if name == "canary":
            show_canary(ledger, done.data, console)
    _heading(
        console,
        f"Which policy admitted what shaped {names[0]}?",
        f"gradledger policies {done.run_dir} --capability {names[0]!r}",
    )
    console.print(ledger.policies(names[0]))


def _behind(ledger: Ledger, done: Demonstration, console: Console) -> None:
    """Ask what is behind the last behaviour, where the parameters' format has a derivative."""
    if done.training.dtype.itemsize < _SINGLE_BYTES:
        return
    name = list(done.data.probe_tokens)[-1]
    asked = f"{name!r} --since {since_step(done.run_dir)} --by package --order negative"
    _heading(
        console,
        f"What is behind the output {name!r}?",
        f"gradledger influence {done.run_dir} {asked}",
    )
    console.print(behind(ledger, name, done, console))


def _closing(done: Demonstration, console: Console) -> None:
    displacement = done.summary["displacement"]
    console.print()
    console.rule(align="left")
    console.print(
        f"{done.summary['steps']} steps, {done.summary['visits']:,} visits, "
        f"{done.summary['groups']} parameter groups; executed twice, "
        f"{displacement['steps_bit_identical']} of {done.summary['steps']} steps bit-identical."
    )
    console.print(
        f"Visits own {displacement['visits_share_median']:.2f} of the displacement (median over "
        f"groups); all lines add up to 1 within {displacement['sum_error']:.1e}."
    )
    console.print(f"The run is in {done.run_dir}; ask it more with `gradledger --help`.")
