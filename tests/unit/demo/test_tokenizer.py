"""The tokenizer: lossless, repeatable, and honest about what it was trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from gradledger.demo.source import SourceFile
from gradledger.demo.tokenizer import RECORD_FORMAT, train_tokenizer
from gradledger.errors import InputError

MakeFile = Callable[..., SourceFile]


@pytest.fixture
def files(make_file: MakeFile) -> list[SourceFile]:
    return [
        make_file(
            f"m{m}.py", text="".join(f"def f{n}(x):\n    return x * {m}\n" for n in range(60))
        )
        for m in range(5)
    ]


def test_training_is_repeatable_and_blind_to_order(files: list[SourceFile]) -> None:
    first, record = train_tokenizer(files, 400)
    second, again = train_tokenizer(files[::-1], 400)
    assert first.to_str() == second.to_str()
    assert record == again


def test_the_record_names_what_it_rests_on(files: list[SourceFile]) -> None:
    tokenizer, record = train_tokenizer(files, 290)
    assert record["format"] == RECORD_FORMAT
    assert record["vocab_size"] == tokenizer.get_vocab_size() == 290
    assert record["sha256"] == hashlib.sha256(tokenizer.to_str().encode()).hexdigest()
    assert record["num_bytes"] == sum(file.num_bytes for file in files)
    assert record["trained_on"] == [{"key": file.key, "sha256": file.sha256} for file in files]


def test_another_training_set_is_another_tokenizer(files: list[SourceFile]) -> None:
    records = [train_tokenizer(some, 400)[1]["sha256"] for some in (files, files[:1])]
    assert records[0] != records[1]


def test_the_vocabulary_holds_no_more_than_the_text_gives(make_file: MakeFile) -> None:
    tokenizer, record = train_tokenizer([make_file("m.py", text="ab ab ab")], 1000)
    assert record["vocab_size"] == tokenizer.get_vocab_size() < 300


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=200))
def test_any_text_survives(text: str) -> None:
    tokenizer = _trained()
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_a_token_is_at_least_one_byte(files: list[SourceFile]) -> None:
    tokenizer, _ = train_tokenizer(files, 290)
    vocabulary = tokenizer.get_vocab()
    assert sorted(vocabulary.values()) == list(range(290))
    assert sum(len(token) == 1 for token in vocabulary) == 256


@pytest.mark.parametrize("vocab_size", [0, 255])
def test_a_vocabulary_without_room_for_bytes_is_refused(
    files: list[SourceFile], vocab_size: int
) -> None:
    with pytest.raises(InputError, match="I104"):
        train_tokenizer(files, vocab_size)


def test_no_files_are_refused() -> None:
    with pytest.raises(InputError, match="0 files"):
        train_tokenizer([], 300)


def _trained() -> Tokenizer:
    file = SourceFile(
        package="p",
        version="1",
        path="m.py",
        text="x = 1\n",
        sha256="0" * 64,
        license="MIT",
        license_evidence="License",
        license_text="MIT",
        license_ambiguous=False,
        file_license=None,
        effective_license="MIT",
        vendored=False,
        is_test=False,
        has_copyright_line=False,
        num_bytes=6,
        num_lines=1,
        band=2.0,
    )
    return train_tokenizer([file], 256)[0]
