"""Evidence that was put together anew, foreign keys, and hostile archives: both refuse."""

from __future__ import annotations

import json
import random
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

# Test folders are no packages: the cases are found through their folder.
sys.path.insert(0, str(Path(__file__).parent))

from evidence_cases import judge, make_evidence, rewritten
from make_logged import Logged, make_logged


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    return make_logged(tmp_path_factory.mktemp("made") / "run")


@pytest.fixture(scope="module")
def evidence(made: Logged, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_evidence(made, tmp_path_factory.mktemp("evidence") / "out")


def swapped(records: list, first: int, second: int) -> None:
    records[first], records[second] = records[second], records[first]


def side(record: dict) -> dict:
    return record["proofs"][0]["before"] or record["proofs"][0]["after"]


def beyond(record: dict) -> str:
    """A value on the other side of a neighbour."""
    held = int(side(record)["value"], 16) + (-1 if record["proofs"][0]["before"] else 1)
    return f"{held:064x}"


#: Changes that keep a receipt well formed: name of the evidence, and what is done to it.
SWAPS = {
    "rows swapped": ("example", lambda r: swapped(r["rows"], 0, 1)),
    "row lost": ("example", lambda r: r["rows"].pop(0)),
    "row doubled": ("example", lambda r: r["rows"].insert(0, r["rows"][0])),
    "proof of another row": (
        "step",
        lambda r: r["rows"][0].update(proof=r["rows"][1]["proof"]),
    ),
    "index of another row": ("step", lambda r: r["rows"][0].update(row_index=0)),
    "leaves swapped": ("example", lambda r: swapped(r["leaves"], 0, 1)),
    "leaf lost": ("example", lambda r: r["leaves"].pop()),
    "receipt of another leaf": (
        "example",
        lambda r: r["leaves"][0].update(receipt=r["leaves"][1]["receipt"]),
    ),
    "visit of a step lost": ("step", lambda r: r["rows"].pop(0)),
    "another subject": ("example", lambda r: r["subject"].update(examples=[4])),
    "one more example": ("example", lambda r: r["subject"].update(examples=[3, 4])),
    "another kind": ("example", lambda r: r.update(subject={"kind": "step", "step": 5})),
    "no kind": ("example", lambda r: r.update(subject={})),
    "another step": ("step", lambda r: r["subject"].update(step=6)),
    "step as text": ("step", lambda r: r["subject"].update(step="5")),
    "step as truth": ("state", lambda r: r["subject"].update(step=True)),
    "another state": ("state", lambda r: r["subject"].update(step=0)),
    "another decision": ("decision", lambda r: r["subject"].update(decision=0)),
    "another run": ("visit", lambda r: r.update(run_id="f" * 32)),
    "no keys": ("visit", lambda r: r.update(verifier_keys=[])),
    "text changed": ("decision", lambda r: r["rows"][0]["texts"].update(verdict="deny")),
    "text moved": ("decision", lambda r: r["rows"][0]["texts"].update(reason="admit")),
    "text of no column": ("decision", lambda r: r["rows"][0]["texts"].update(more="admit")),
    "text for a number": ("decision", lambda r: r["rows"][0]["texts"].update(decision="1")),
    "further member": ("visit", lambda r: r.update(more=1)),
    "no rows": ("visit", lambda r: r.update(rows=[])),
    "no leaves": ("state", lambda r: r.update(leaves=[])),
    "columns renamed": ("visit", lambda r: r["leaves"][0]["columns"][0].__setitem__(0, "stop")),
    "columns gone": ("visit", lambda r: r["leaves"][0].update(columns=None)),
    "columns of a state": ("state", lambda r: r["leaves"][0].update(columns=[])),
    "proofs swapped": ("absence", lambda r: swapped(r["proofs"], 0, 1)),
    "no proofs": ("absence", lambda r: r.update(proofs=[])),
    "value beyond its neighbours": ("absence", lambda r: r["proofs"][0].update(value=beyond(r))),
    "value that is there": ("absence", lambda r: r["proofs"][0].update(value=side(r)["value"])),
    "sides lost": ("absence", lambda r: r["proofs"][0].update(before=None, after=None)),
    "sides swapped": (
        "absence",
        lambda r: r["proofs"][0].update(
            before=r["proofs"][0]["after"], after=r["proofs"][0]["before"]
        ),
    ),
    "both proved and not": ("absence", lambda r: r.update(unprovable={"pkg:a": "why"})),
    "another form": ("absence", lambda r: r.update(format="gradledger.receipt/1")),
}


@pytest.mark.parametrize("what", SWAPS)
def test_both_refuse_what_was_put_together_anew(
    made: Logged, evidence: dict[str, Path], tmp_path: Path, what: str
) -> None:
    name, change = SWAPS[what]
    assert judge(rewritten(evidence[name], tmp_path, change), made.verifier) == (False, False)


def test_leaving_out_texts_is_allowed(
    made: Logged, evidence: dict[str, Path], tmp_path: Path
) -> None:
    def hide(record: dict) -> None:
        for row in record["rows"]:
            row["texts"] = {}

    assert judge(rewritten(evidence["example"], tmp_path, hide), made.verifier) == (True, True)


def test_both_refuse_foreign_keys_and_other_runs(
    made: Logged, evidence: dict[str, Path], tmp_path: Path
) -> None:
    thief = make_logged(tmp_path / "thief", word="thief")
    other = make_logged(tmp_path / "other", origin="example.org/runs/other")
    forged = make_evidence(thief, tmp_path / "forged")
    foreign = make_evidence(other, tmp_path / "foreign")
    for name, path in evidence.items():
        assert judge(path, thief.verifier) == (False, False), name
        assert judge(forged[name], made.verifier) == (False, False), name
        if name != "statement":  # a key states what it likes, of any run
            assert judge(foreign[name], made.verifier) == (False, False), name
            assert judge(forged[name], None) == (True, True), name  # nothing but the key tells

    def mix(record: dict) -> None:
        record["leaves"] = json.loads(forged["visit"].read_bytes())["leaves"]

    assert judge(rewritten(evidence["visit"], tmp_path, mix), made.verifier) == (False, False)


def test_both_refuse_hostile_archives(
    made: Logged, evidence: dict[str, Path], tmp_path: Path
) -> None:
    def archive(name: str, change: object) -> Path:
        path = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(evidence["zip"]) as old, zipfile.ZipFile(path, "w") as new:
            for entry in old.infolist():
                new.writestr(entry.filename, old.read(entry))
            change(new)
        return path

    def link(new: zipfile.ZipFile) -> None:
        entry = zipfile.ZipInfo("link")
        entry.external_attr = 0o120777 << 16
        new.writestr(entry, "/etc/passwd")

    def bomb(new: zipfile.ZipFile) -> None:
        zeros = bytes(1 << 20)
        with new.open(zipfile.ZipInfo("bomb"), "w", force_zip64=True) as stream:
            for _ in range((1 << 10) + 1):
                stream.write(zeros)

    def squeezed(new: zipfile.ZipFile) -> None:
        new.compression = zipfile.ZIP_DEFLATED
        for number in range(1025):
            new.writestr(f"zeros/{number}", bytes(1 << 20), zipfile.ZIP_DEFLATED)

    for name in (
        "../up",
        "/root",
        "a/../../b",
        "C:evil",
        "a\\b",
        "sub/./x",
        "nul.",
        "x" * 600,
        "é",
    ):
        path = archive(f"name{len(name)}", lambda new, name=name: new.writestr(name, "x"))
        assert judge(path, made.verifier) == (False, False), name
    assert judge(archive("link", link), made.verifier) == (False, False)
    assert judge(archive("squeezed", squeezed), made.verifier) == (False, False)
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = archive("twice", lambda new: new.writestr("README.md", "x"))
    assert judge(twice, made.verifier) == (False, False)
    lying = bytearray(evidence["zip"].read_bytes())
    directory = lying.rindex(b"PK\x01\x02")
    lying[directory + 24 : directory + 28] = (7).to_bytes(4, "little")
    (tmp_path / "lying.zip").write_bytes(lying)
    assert judge(tmp_path / "lying.zip", made.verifier) == (False, False)
    assert not list(tmp_path.glob("up"))
    assert not list(tmp_path.parent.glob("up"))


def test_both_refuse_links_in_folders(
    made: Logged, evidence: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "linked"
    shutil.copytree(evidence["bundle"], folder)
    content = (folder / "README.md").read_bytes()
    (tmp_path / "elsewhere").write_bytes(content)
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to(tmp_path / "elsewhere")
    assert judge(folder, made.verifier) == (False, False)


def test_both_refuse_changed_statements(
    made: Logged, evidence: dict[str, Path], tmp_path: Path
) -> None:
    record = json.loads(evidence["statement"].read_bytes())
    draw = random.Random(1)  # noqa: S311
    for member in ("payload", "sig"):
        for _ in range(20):
            changed = json.loads(json.dumps(record))
            holder = changed if member == "payload" else changed["signatures"][0]
            text = list(holder[member])
            text[draw.randrange(len(text) - 4)] = draw.choice("ABCDwxyz0189")
            if "".join(text) == holder[member]:
                continue
            holder[member] = "".join(text)
            path = tmp_path / "statement.jsonl"
            path.write_text(json.dumps(changed))
            assert judge(path, made.verifier) == (False, False)
