"""Both verifiers accept the same evidence and refuse the same changes to it."""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Test folders are no packages: the cases are found through their folder.
sys.path.insert(0, str(Path(__file__).parent))

from evidence_cases import judge, make_evidence
from make_logged import Logged, make_logged

HOSTILE = [
    "pkg:a",
    "../../etc/passwd",
    "a\u202eb",
    "=cmd|'/c calc'!A1",
    "\x1b[2J",
    "\U0001f4a3" * 9,
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    return make_logged(tmp_path_factory.mktemp("made") / "run")


@pytest.fixture(scope="module")
def evidence(made: Logged, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_evidence(made, tmp_path_factory.mktemp("evidence") / "out")


def test_both_accept(made: Logged, evidence: dict[str, Path]) -> None:
    for name, path in evidence.items():
        assert judge(path, made.verifier) == (True, True), name


def test_both_accept_a_log_of_several_tiles(tmp_path: Path) -> None:
    made = make_logged(tmp_path / "run", num_states=600)
    for name, path in make_evidence(made, tmp_path / "out").items():
        assert judge(path, made.verifier) == (True, True), name
    tiles = {p.name for p in (tmp_path / "out/bundle/log/tile").rglob("*") if p.is_file()}
    assert len(tiles) >= 3


def test_both_accept_unsigned_evidence_and_refuse_it_where_a_key_is_given(tmp_path: Path) -> None:
    made = make_logged(tmp_path / "run", signed=False)
    found = make_evidence(made, tmp_path / "out")
    del found["statement"]
    for name, path in found.items():
        assert judge(path, None) == (True, True), name
        assert judge(path, made.verifier) == (False, False), name


def test_both_accept_hostile_strings(tmp_path: Path) -> None:
    texts = [HOSTILE[n % len(HOSTILE)] for n in range(12)]
    metadata = {
        "source": [f"pkg:{'aaabbcccddef'[n]}" for n in range(12)],
        "\uff5epath\U0001f600": texts,
    }
    made = make_logged(tmp_path / "run", metadata=metadata)
    found = make_evidence(made, tmp_path / "out")
    for name, path in found.items():
        assert judge(path, made.verifier) == (True, True), name
    text = (found["bundle"] / "README.md").read_text()
    assert not any(word in text for word in HOSTILE)


def flips(content: bytes, draw: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    for _ in range(count):
        changed = bytearray(content)
        place = draw.randrange(len(content))
        changed[place] ^= 1 << draw.randrange(8)
        yield f"flip {place}", bytes(changed)
    for _ in range(count // 3):
        start, stop = sorted(draw.sample(range(len(content)), 2))
        yield f"cut {start}:{stop}", content[:start] + content[stop:]
    yield "truncated", content[: len(content) // 2]
    yield "longer", content + b"\n"
    yield "empty", b""


def asks_for_another_value(content: bytes, changed: bytes, verdicts: tuple[bool, bool]) -> bool:
    """Neighbours prove the absence of every value between them, so another one may hold too."""
    if verdicts != (True, True) or b"absence" not in content[:300]:
        return False
    first, second = json.loads(content), json.loads(changed)
    for one, other in zip(first["proofs"], second["proofs"], strict=True):
        one["value"] = other["value"]
    return first == second


def test_both_refuse_every_change_of_a_file(
    made: Logged, evidence: dict[str, Path], tmp_path: Path
) -> None:
    draw, wrong, num_cases = random.Random(6962), [], 0  # noqa: S311
    for name in ("visit", "example", "decision", "step", "state", "absence"):
        content = evidence[name].read_bytes()
        for what, changed in flips(content, draw, 24):
            path = tmp_path / "changed.json"
            path.write_bytes(changed)
            num_cases += 1
            verdicts = judge(path, made.verifier)
            if verdicts != (False, False) and not asks_for_another_value(
                content, changed, verdicts
            ):
                wrong.append((name, what))
    assert wrong == []
    assert num_cases >= 200


def test_both_refuse_every_change_of_a_bundle(
    made: Logged, evidence: dict[str, Path], tmp_path: Path
) -> None:
    draw, wrong, num_cases = random.Random(9162), [], 0  # noqa: S311
    folder = tmp_path / "bundle"
    shutil.copytree(evidence["bundle"], folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        content = path.read_bytes()
        for what, changed in flips(content, draw, 6):
            path.write_bytes(changed)
            num_cases += 1
            if changed != content and judge(folder, made.verifier) != (False, False):
                wrong.append((path.name, what))
        path.unlink()
        if judge(folder, made.verifier) != (False, False):
            wrong.append((path.name, "lost"))
        path.write_bytes(content)
    for extra in ("more", "log/tile/0/001", "leaves/99.leaf", "policies/x.yaml"):
        (folder / extra).write_bytes(b"x")
        if judge(folder, made.verifier) != (False, False):
            wrong.append((extra, "added"))
        (folder / extra).unlink()
    assert judge(folder, made.verifier) == (True, True)
    assert wrong == []
    assert num_cases >= 150


def test_both_refuse_a_list_that_was_made_to_fit(
    made: Logged, evidence: dict[str, Path], tmp_path: Path
) -> None:
    """Whoever changes a file can write the list anew: what proves is behind the list."""
    import hashlib

    wrong = []
    names = [p.relative_to(evidence["bundle"]).as_posix() for p in evidence["bundle"].rglob("*")]
    for name in sorted(names):
        if name in {"README.md", "bundle.json"} or (evidence["bundle"] / name).is_dir():
            continue
        folder = tmp_path / "forged"
        shutil.copytree(evidence["bundle"], folder)
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)
        index = json.loads((folder / "bundle.json").read_bytes())
        for item in index["files"]:
            if item["path"] == name:
                item["sha256"] = hashlib.sha256(content).hexdigest()
        text = json.dumps(index, sort_keys=True, separators=(",", ":")) + "\n"
        (folder / "bundle.json").write_text(text)
        if judge(folder, made.verifier) != (False, False):
            wrong.append(name)
        shutil.rmtree(folder)
    assert wrong == []
