"""Tables, records and lists of blocks as people bring them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gradledger.errors import InputError, PolicyError, StorageError
from gradledger.policy import decide, load_policy, read_blocks, read_metadata, read_record

POLICY = load_policy("""
format: gradledger.policy/1
policy: test.metadata
version: "1"
attributes:
  name: {type: string}
  count: {type: int}
  share: {type: float}
  fine: {type: bool}
  seen: {type: timestamp}
rules:
  - id: a
    effect: admit
    when: name <> '' AND count > 0 AND share >= 0 AND fine AND seen < now()
""")
ROWS = {
    "name": ["7", "", None],
    "count": [1, None, 3],
    "share": [1.0, 0.5, None],
    "fine": [True, False, None],
    "seen": [datetime(2026, 1, 1, tzinfo=UTC), datetime(2025, 6, 30, 22, tzinfo=UTC), None],
}
CSV = """extra,name,count,share,fine,seen
x,7,1,1,true,2026-01-01T00:00:00Z
y,"",,0.5,false,2025-07-01T00:00:00+02:00
,,3,,,
"""
JSON = """{"name": "7", "count": 1, "share": 1, "fine": true, "seen": "2026-01-01", "extra": "x"}
{"name": "", "share": 0.5, "fine": false, "seen": "2025-07-01T00:00:00+02:00", "extra": "y"}
{"count": 3}
"""


def files(folder: Path) -> list[Path]:
    (folder / "t.csv").write_text(CSV, encoding="utf-8")
    (folder / "t.jsonl").write_text(JSON, encoding="utf-8")
    pq.write_table(pa.table({"extra": ["x", "y", None], **ROWS}), folder / "t.parquet")
    return [folder / "t.csv", folder / "t.jsonl", folder / "t.parquet"]


@pytest.mark.parametrize("place", range(3))
def test_every_format_gives_the_same_table(tmp_path: Path, place: int) -> None:
    table = read_metadata(files(tmp_path)[place], [POLICY], ["extra"])
    assert {name: table[name].to_pylist() for name in ROWS} == ROWS
    assert table["extra"].to_pylist()[:2] == ["x", "y"]
    now = datetime(2026, 1, 31, tzinfo=UTC)
    decisions = decide(POLICY, table, now)
    assert [decisions.distinct[code].verdict for code in decisions.code] == [
        "admit", "deny", "quarantine",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("t.txt", "name\n7\n", "S115"),
        ("t.csv", "name,count\n7,many\n", "S115"),
        ("t.csv", "name,name\n7,8\n", "S115"),
        ("t.csv", "", "S115"),
        ("t.jsonl", '{"name": 7}\n', "S115"),
        ("t.jsonl", "{", "S115"),
        ("t.parquet", "PAR1 no", "S115"),
        ("t.csv", "seen\nyesterday\n", "P152"),
        ("t.jsonl", '{"seen": "31.1.2026"}\n', "P152"),
    ],
)
def test_bad_tables(tmp_path: Path, name: str, content: str, code: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises((StorageError, PolicyError)) as caught:
        read_metadata(path, [POLICY])
    assert caught.value.code == code


def test_absent_tables_and_columns(tmp_path: Path) -> None:
    for name in ("t.csv", "t.jsonl", "t.parquet"):
        with pytest.raises(StorageError, match="S113"):
            read_metadata(tmp_path / name, [POLICY])
    with pytest.raises(PolicyError, match="P151"):
        read_metadata(files(tmp_path)[0], [POLICY], ["sauce"])


def test_records(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text('{"name": "x", "count": null}', encoding="utf-8")
    assert read_record(path) == {"name": "x", "count": None}
    for content, error in (("[1]", PolicyError), ("{", InputError), ('{"a":1,"a":2}', InputError)):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(error):
            read_record(path)
    with pytest.raises(StorageError, match="S113"):
        read_record(tmp_path / "absent.json")


def test_blocks(tmp_path: Path) -> None:
    path = tmp_path / "blocks"
    for content in ("# from input to output\nembed\n\nlayers.0\n", '["embed", "layers.0"]'):
        path.write_text(content, encoding="utf-8")
        assert read_blocks(path) == ["embed", "layers.0"]
    for content in ("", "# none\n", "a\na\n", "[1]", "[]", '["a", ""]'):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(PolicyError, match="P156"):
            read_blocks(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError, match="P156"):
        read_blocks(path)
    with pytest.raises(StorageError, match="S113"):
        read_blocks(tmp_path / "absent")
