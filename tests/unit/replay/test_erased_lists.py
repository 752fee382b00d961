"""Lists of what was erased that are named: they deny in other folders, by content and by name."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from gradledger.errors import GradledgerError
from gradledger.log import SigningKey
from gradledger.segment import read_table

# Test folders are no packages: helpers are found through their folder.
sys.path.insert(0, str(Path(__file__).parent))
from test_erase import KEYS, erased, signer
from whatif_oracle import REMOVED, Training, make


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Training, Path, SigningKey]:
    key = signer()
    run = make(record={"state_every": 3, "key": key}, metadata=KEYS)
    run.recorded(tmp_path / "run")
    return run, tmp_path / "run", key


def test_lists_that_are_named_deny_in_other_folders(
    signed: tuple[Training, Path, SigningKey], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, folder, key = signed
    shared, own = tmp_path / "lists" / "team.json", tmp_path / "own.json"
    shared.parent.mkdir()
    monkeypatch.setenv("GRADLEDGER_ERASED", str(shared))
    answer = erased(folder, run, key=key, lists=[own])
    assert answer.facts["denied from now on by"] == [
        str(place) for place in (tmp_path / "erased.json", own, shared)
    ]
    salts = {json.loads(place.read_text())["salt"] for place in (own, shared)}
    assert len(salts) == 2

    def visits(name: str, **record: Any) -> set[int]:
        again = make(record=record, metadata={"path": [f"other-{n}" for n in range(12)]})
        again.recorded(tmp_path / "elsewhere" / name)
        table = read_table(tmp_path / "elsewhere" / name, "visits", ["example"])
        return set(table["example"].to_pylist())

    (tmp_path / "elsewhere").mkdir()
    assert REMOVED.isdisjoint(visits("by-environment"))
    monkeypatch.delenv("GRADLEDGER_ERASED")
    assert REMOVED.isdisjoint(visits("by-name", erased=[own]))
    assert visits("without") >= REMOVED  # Another folder, and nothing is named.


def test_a_named_list_that_cannot_be_read_is_refused(
    signed: tuple[Training, Path, SigningKey], tmp_path: Path
) -> None:
    run, folder, key = signed
    broken = tmp_path / "broken.json"
    broken.write_text('{"format": "other"}')
    before = sorted(path for path in tmp_path.rglob("*") if "replays" not in str(path))
    with pytest.raises(GradledgerError) as caught:
        erased(folder, run, key=key, lists=[broken])
    assert caught.value.code == "S113"
    assert before == sorted(path for path in tmp_path.rglob("*") if "replays" not in str(path))
    for place in (broken, tmp_path / "not-there.json"):
        with pytest.raises(GradledgerError) as caught:
            make(record={"erased": [place]}).recorded(tmp_path / "elsewhere" / place.stem)
        assert caught.value.code == "S113"
