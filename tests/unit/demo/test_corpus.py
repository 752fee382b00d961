"""Sampling: balanced between packages, blind to names, the same every time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradledger.demo.corpus import (
    build_corpus,
    interleave,
    mark_duplicates,
    originals_of,
    sample_package,
)
from gradledger.demo.manifest import WheelPin
from gradledger.demo.sizes import SIZES, CorpusSize, corpus_size
from gradledger.demo.source import SourceFile
from gradledger.errors import InputError, StorageError

Make = Callable[..., WheelPin]
MakeFile = Callable[..., SourceFile]
SIZE = CorpusSize("test", 10, 5, 300, 2, 4000)


def python_text(seed: int, num_lines: int = 60) -> str:
    return "".join(f"def f_{seed}_{n}(x):\n    return x + {seed * n}\n" for n in range(num_lines))


def test_a_corpus_is_the_same_each_time(make_wheel: Make, tmp_path: Path) -> None:
    pins = [
        make_wheel("one", {f"m{n}.py": python_text(n) for n in range(9)}),
        make_wheel("two", {f"m{n}.py": python_text(50 + n) for n in range(4)}),
    ]
    first = build_corpus(tmp_path / "wheels", SIZE, pins)
    assert first == build_corpus(tmp_path / "wheels", SIZE, pins)
    assert first.num_found == first.num_eligible == 13
    assert [file.package for file in first.files[:4]] == ["one", "two", "one", "two"]
    assert first.wheels == tuple((pin.filename, pin.sha256) for pin in pins)


def test_names_do_not_matter(make_wheel: Make, tmp_path: Path) -> None:
    names = {f"m{n}.py": python_text(n) for n in range(12)}
    turned = {f"a{11 - n}.py": python_text(n) for n in range(12)}
    found = [
        {file.sha256 for file in build_corpus(tmp_path / "wheels", SIZE, [make(files)]).files}
        for make, files in ((lambda f: make_wheel("one", f), n) for n in (names, turned))
    ]
    assert found[0] == found[1]
    assert len(found[0]) < 12


def test_short_long_and_foreign_files_are_left_out(make_wheel: Make, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "fits.py": python_text(1),
        "short.py": "x = 1\n",
        "long.py": "x = 1\n" * 60_000,
        "latin.py": python_text(2).encode() + b"# caf\xe9\n",
        "empty.py": "",
    }
    corpus = build_corpus(tmp_path / "wheels", SIZE, [make_wheel("one", files)])
    assert [file.path for file in corpus.files] == ["fits.py"]
    assert (corpus.num_found, corpus.num_eligible) == (5, 1)


def test_a_missing_wheel_is_one_error_with_a_next_step(make_wheel: Make, tmp_path: Path) -> None:
    pin = make_wheel("one", {"m.py": python_text(1)})
    with pytest.raises(StorageError) as caught:
        build_corpus(tmp_path / "elsewhere", SIZE, [pin])
    assert caught.value.code == "S153"
    assert "gradledger.demo.fetch" in caught.value.hint


def test_no_package_exceeds_its_share(make_file: MakeFile) -> None:
    files = [make_file(f"m{n}.py", f"{n:064x}", num_bytes=10_000) for n in range(50)]
    taken = sample_package(files, SIZE)
    reckoned = SIZE.windows_per_file * 384
    assert len(taken) == -(-SIZE.bytes_per_package // reckoned)


def test_every_kind_of_evidence_gets_a_turn(make_file: MakeFile) -> None:
    plain = [make_file(f"m{n}.py", f"{n:064x}") for n in range(100)]
    rare = [
        make_file("v.py", "f" * 64, vendored=True),
        make_file("h.py", "e" * 64, file_license="ISC"),
        make_file("t.py", "d" * 64, is_test=True),
        make_file("d.py", "c" * 64, duplicate_of="q:d.py"),
        make_file("b.py", "b" * 64, band=0.4),
    ]
    taken = sample_package(plain + rare, SIZE)
    assert len(taken) < 20
    assert {file.path for file in rare} <= {file.path for file in taken}


@given(st.lists(st.lists(st.integers(), max_size=5), max_size=5))
def test_interleaving_keeps_everything_in_turns(lists: list[list[int]]) -> None:
    mixed = list(interleave(lists))
    assert sorted(mixed) == sorted(item for items in lists for item in items)
    assert mixed[: len([x for x in lists if x])] == [items[0] for items in lists if items]


def test_copies_point_at_an_original_that_is_not_vendored(make_file: MakeFile) -> None:
    copy = make_file("a/_vendor/x.py", "a" * 64, vendored=True)
    original = make_file("z.py", "a" * 64, package="q")
    other = make_file("y.py", "b" * 64)
    originals = originals_of([copy, original, other])
    marked = mark_duplicates([copy, original, other], originals)
    assert [file.duplicate_of for file in marked] == ["q:z.py", None, None]


def test_sizes_grow() -> None:
    assert list(SIZES) == ["tiny", "small", "medium"]
    for small, large in zip(SIZES.values(), list(SIZES.values())[1:], strict=False):
        assert small.num_admitted < large.num_admitted
        assert small.bytes_per_package < large.bytes_per_package


def test_an_unknown_size_names_those_that_exist() -> None:
    with pytest.raises(InputError, match=r"I104.*tiny, small, medium"):
        corpus_size("huge")
