"""The second verifier, and ours, against the stored vectors of evidence."""

from __future__ import annotations

import json
import random
import re
import sys
from pathlib import Path

import pytest

# Test folders are no packages: verifier and cases are found through their folder.
sys.path.insert(0, str(Path(__file__).parent))

from evidence_cases import judge

from gradledger.log import SigningKey, VerifierKey

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "evidence.json").read_text(encoding="utf-8")
)
KEY = VerifierKey.parse(VECTORS["verifier_key"])
ABSENT = "5a" * 32
TEXTS = {
    **{f"receipt of a {name}": text for name, text in VECTORS["receipts"].items()},
    "absence": VECTORS["absence"],
    **{f"statement of {name}": text for name, text in VECTORS["statements"].items()},
}


def written(folder: Path, text: str) -> Path:
    path = folder / "evidence.json"
    path.write_text(text, encoding="utf-8")
    return path


def bundle(folder: Path) -> Path:
    for name, text in VECTORS["bundle"]["texts"].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for name, text in VECTORS["bundle"]["bytes"].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bytes.fromhex(text))
    return folder


@pytest.mark.parametrize("name", TEXTS)
def test_both_accept_every_vector(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, TEXTS[name])
    assert judge(path, KEY) == (True, True)
    stranger = SigningKey.generate("x").named(KEY.name).verifier
    assert judge(path, stranger) == (False, False)


def test_both_accept_the_unsigned_receipt_where_no_key_is_given(tmp_path: Path) -> None:
    path = written(tmp_path, VECTORS["unsigned_receipt"])
    assert judge(path, None) == (True, True)
    assert judge(path, KEY) == (False, False)


def test_both_accept_the_bundle(tmp_path: Path) -> None:
    assert judge(bundle(tmp_path / "bundle"), KEY) == (True, True)


@pytest.mark.parametrize("name", [name for name in TEXTS if not name.startswith("statement")])
def test_both_refuse_a_digit_that_was_changed(name: str, tmp_path: Path) -> None:
    """Any hexadecimal digit of rows, proofs and roots."""
    rng, text = random.Random(name), TEXTS[name]  # noqa: S311 - repeatable, not secret
    digits = [found.start() for found in re.finditer(r"(?<=[0-9a-f]{32})[0-9a-f]", text)]
    # Another value than the one that was asked for is absent just as well.
    free = [found.span() for found in re.finditer(ABSENT, text)]
    bound = [place for place in digits if not any(a <= place < b for a, b in free)]
    for place in rng.sample(bound, 12):
        other = "1" if text[place] == "0" else "0"
        changed = text[:place] + other + text[place + 1 :]
        assert judge(written(tmp_path, changed), KEY) == (False, False), (name, place)


def test_both_refuse_a_bundle_with_a_file_that_was_changed(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "bundle")
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert judge(folder, KEY) == (False, False), path
        path.write_bytes(content)
