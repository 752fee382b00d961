"""The support page says what training finds, for every optimizer and habit."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from habit_harness import OPTIMIZERS, Habit
from support_page import HABITS, PAGE, alike, read, row

from gradledger.update import supported

SHOWN = read(PAGE.read_text(encoding="utf-8"))

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def test_the_page_has_every_habit_and_optimizer() -> None:
    assert list(SHOWN) == list(HABITS)
    assert all(len(cells) == len(OPTIMIZERS) for cells in SHOWN.values())
    variants = {"momentum", "Nesterov", "AMSGrad"}
    assert set(OPTIMIZERS) - variants == set(supported())


def test_every_habit_is_described() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name, habit in HABITS.items():
        assert f"**{name}**: {habit.__doc__}" in text, name


@pytest.mark.parametrize("name", HABITS)
def test_the_page_says_what_is_found(name: str) -> None:
    found = row(name)
    for optimizer, shown, cell in zip(OPTIMIZERS, SHOWN[name], found, strict=True):
        assert alike(shown, cell), f"{name} with {optimizer}: the page says {shown}, found {cell}"
        # Nothing hides behind a wide tolerance: sums hold to a hundred-thousandth everywhere.
        assert not cell.startswith("1e") or int(cell.split("~")[0].split(" ")[0][2:]) <= -5
        if HABITS[name].same_bits and cell[0] in "01":
            assert not cell.endswith("r")


def test_a_cell_that_changes_its_meaning_is_noticed() -> None:
    assert alike("1e-8", "1e-7")
    assert alike("0", "1e-8")
    assert not alike("1e-8", "1e-5")
    assert not alike("1e-8", "1e-8~")
    assert not alike("1e-8", "U102")
    assert not alike("I108", "-")
    assert issubclass(HABITS["fused"], Habit)
