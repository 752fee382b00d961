"""Whatever a stranger sends: a reader answers with a code, and never with another exception."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from make_logged import Logged

from gradledger.errors import GradledgerError
from gradledger.evidence import check_evidence, hand_absence, hand_receipt
from gradledger.evidence.absence import AbsenceEvidence
from gradledger.evidence.bundle import BundleIndex
from gradledger.evidence.container import plain_name, read_zip
from gradledger.evidence.dsse import Envelope
from gradledger.evidence.receipt import EvidenceReceipt
from gradledger.query import Records

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
READERS = (
    EvidenceReceipt.parse,
    AbsenceEvidence.parse,
    BundleIndex.parse,
    Envelope.parse,
    read_zip,
)
FEW = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__qualname__)
@given(content=st.binary(max_size=300) | JSON.map(lambda v: json.dumps(v).encode()))
@settings(max_examples=150, deadline=None)
def test_any_bytes(read: Any, content: bytes) -> None:
    code = ""
    try:
        read(content)
    except GradledgerError as error:
        code = error.code
    assert code in {"", "L161", "L101", "L111", "L113"}


@pytest.fixture(scope="module")
def records_of_evidence(
    logged: Logged, logged_records: Records, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("parsers")
    found = []
    for name, value in {"visit": "3:0:2", "decision": 1, "state": 10}.items():
        hand_receipt(logged_records, {name: value}, out=folder / name)
        found.append(json.loads((folder / name).read_bytes()))
    hand_absence(logged_records, commitment="5a" * 32, out=folder / "absence")
    return [*found, json.loads((folder / "absence").read_bytes())]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, item in items:
        found.append((*path, key))
        if isinstance(item, dict | list):
            found += places(item, (*path, key))
    return found


@given(data=st.data())
@FEW
def test_any_value_in_any_place(
    records_of_evidence: list[dict[str, Any]], logged: Logged, tmp_path: Path, data: st.DataObject
) -> None:
    """A member is replaced by anything at all: refused with a code, or no change."""
    original = data.draw(st.sampled_from(records_of_evidence))
    record = copy.deepcopy(original)
    place = data.draw(st.sampled_from(places(record)))
    holder: Any = record
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = data.draw(JSON)
    path = tmp_path / "evidence.json"
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    found = check_evidence(path, [logged.verifier])
    # Texts may be left out, and sources be listed as not provable: both only take away.
    less = "texts" in place or "unprovable" in place
    assert not found.is_sound or record == original or less
    assert all(item.title for item in found.findings)


@given(name=st.text(max_size=20) | st.text(alphabet="a./\\:\0-", max_size=12))
@settings(max_examples=400, deadline=None)
def test_plain_names_stay_below(name: str) -> None:
    if plain_name(name):
        parts = name.split("/")
        assert not name.startswith("/")
        assert not {"", ".", ".."} & set(parts)
        assert not set(name) & set("\\:\0")
