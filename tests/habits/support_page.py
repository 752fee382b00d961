"""The page docs/reference/support.md: its table is found by training, never typed.

``python tests/habits/support_page.py`` writes the table anew; the test beside compares it with what
it finds. Residuals are shown as powers of ten: digits below that differ between machines.
"""

from __future__ import annotations

import math
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import habits  # noqa: F401 - registers them
import more_habits  # noqa: F401 - likewise
from habit_harness import OPTIMIZERS, Cell, Habit

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "support.md"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"

HABITS: dict[str, type[Habit]] = {
    habit.name: habit for habit in sorted(Habit.all, key=lambda habit: habit is not Habit)
}


def show(cell: Cell) -> str:
    """Return what the table says of a cell."""
    if cell.refused:
        return cell.refused
    power = "0" if cell.residual == 0 else f"1e{math.ceil(math.log10(cell.residual))}"
    mark = {"balanced": "", "not testable at this precision": "~"}[cell.verdict]
    return power + mark + ("" if cell.same_bits else " r")


def row(name: str) -> list[str]:
    """Try one habit with every optimizer."""
    return [show(HABITS[name]().cell(make)) for make in OPTIMIZERS.values()]


def table(rows: dict[str, list[str]]) -> str:
    """Lay the rows out."""
    lines = [["habit", *OPTIMIZERS], ["---"] * (len(OPTIMIZERS) + 1)]
    lines += [[name, *cells] for name, cells in rows.items()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def read(text: str) -> dict[str, list[str]]:
    """Return the rows of the page."""
    inside = text.split(BEGIN)[1].split(END, maxsplit=1)[0]
    lines = [re.split(r"\s*\|\s*", line.strip("| \n")) for line in inside.splitlines()]
    return {cells[0]: cells[1:] for cells in lines[2:]}


def alike(shown: str, found: str) -> bool:
    """Tell whether a cell still says what is found: words equal, powers of ten within two."""
    pattern = r"(0|1e-\d+)?(.*)"
    (old, said), (new, says) = (re.fullmatch(pattern, text).groups() for text in (shown, found))
    if said != says or (old is None) != (new is None):
        return False
    powers = [-20 if value == "0" else int(value[2:]) for value in (old, new) if value]
    return not powers or abs(powers[0] - powers[1]) <= 2 or max(powers) <= -7


def main() -> None:
    """Write the table into the page."""
    names = sys.argv[1:] or list(HABITS)
    text = PAGE.read_text(encoding="utf-8")
    rows = {name: cells for name, cells in read(text).items() if name in HABITS}
    with ProcessPoolExecutor(2) as pool:
        rows |= dict(zip(names, pool.map(row, names), strict=True))
    ordered = {name: rows[name] for name in HABITS if name in rows}
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    PAGE.write_text(before + BEGIN + table(ordered) + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
