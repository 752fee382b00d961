"""Contents, work, kept answers, arguments."""

from __future__ import annotations

import hashlib
import json
import time
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradledger.errors import WebError
from gradledger.ledger import open_ledger
from gradledger.query import answer_from_json
from gradledger.web.alike import alike
from gradledger.web.answers import Answers
from gradledger.web.arguments import Arguments
from gradledger.web.content import Contents
from gradledger.web.desk import Desk
from gradledger.web.serve import Settings, make_site, serve
from gradledger.web.work import MAX_WAITING, Work

TEXT = "one\ntwo\nthree\nfour\n"
DIGEST = hashlib.sha256(TEXT.encode()).hexdigest()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "a" / "b.txt").write_text(TEXT)
    with zipfile.ZipFile(tmp_path / "data" / "wheel-1.whl", "w") as archive:
        archive.writestr("inner/c.txt", TEXT)
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "data" / "out.txt").symlink_to(tmp_path / "secret.txt")
    return tmp_path / "data"


@pytest.mark.parametrize("path", ["a/b.txt", "inner/c.txt"])
def test_content_with_the_recorded_digest_is_found(path: str, folder) -> None:
    found = Contents([folder]).find(
        {"path": path, "file_sha256": DIGEST, "line_start": "2", "line_end": "3"}
    )
    assert (found.text, found.is_checked, found.first_line) == ("two\nthree", True, 2)


def test_content_with_another_digest_is_not_shown(folder) -> None:
    assert not Contents([folder]).find({"path": "a/b.txt", "sha256": "0" * 64}).text


def test_content_without_a_digest_is_shown_as_unchecked(folder) -> None:
    found = Contents([folder]).find({"path": "a/b.txt"})
    assert found.text == TEXT
    assert not found.is_checked


@pytest.mark.parametrize("path", ["../secret.txt", "/etc/passwd", "out.txt", "a/../../secret.txt"])
def test_no_content_comes_from_outside(path: str, folder) -> None:
    assert not Contents([folder]).find({"path": path}).text


def test_text_in_the_metadata_is_the_content() -> None:
    assert Contents().find({"text": "<b>x</b>", "path": "p"}).text == "<b>x</b>"


@given(
    st.lists(
        st.tuples(
            st.text(min_size=1, max_size=8).filter(lambda text: text != "page"),
            st.text(min_size=1, max_size=20),
        ),
        max_size=5,
    )
)
def test_an_address_holds_its_arguments(items) -> None:
    from urllib.parse import parse_qsl

    url = Arguments.of(items).url("/x", page=2)
    _, _, query = url.partition("?")
    assert parse_qsl(query, keep_blank_values=True) == [*items, ("page", "2")]


@given(st.text(max_size=30))
def test_numbers_are_read_or_refused(text: str) -> None:
    arguments = Arguments.of([("n", text)])
    if text == "":
        assert arguments.number("n") is None
    elif text.isascii() and text.isdigit() and len(text) <= 2 and int(text) >= 1:
        assert arguments.number("n", low=1, high=99) == int(text)
    else:
        with pytest.raises(WebError, match="W107"):
            arguments.number("n", low=1, high=99)


def test_control_and_direction_characters_of_contents_are_made_visible() -> None:
    found = Contents().find({"text": "a\tb\x1b[2J\r\nc\u202ed"})
    assert found.text == "a\tb\\x1b[2J\nc\\u202ed"


def test_kept_answers_are_those_of_the_same_files(site, tmp_path) -> None:
    kept = Answers(tmp_path, "1")
    answer = site.desk.ask("first", "trace", top=3)
    place = kept.place("a" * 32, (("visits/part-000000.parquet", 1, 2),))
    kept.keep(place, "trace", answer)
    assert kept.read(place, "trace") == answer
    assert kept.read(place, "other") is None
    changed = kept.place("a" * 32, (("visits/part-000000.parquet", 1, 3),))
    assert kept.read(changed, "trace") is None
    assert Answers(tmp_path, "2").place("a" * 32, ()) != kept.place("a" * 32, ())
    kept.keep(changed, "trace", answer)
    assert not place.exists()


def test_a_damaged_kept_answer_is_asked_anew(site, tmp_path) -> None:
    kept = Answers(tmp_path, "1")
    place = kept.place("b" * 32, ())
    kept.keep(place, "q", site.desk.ask("first", "info"))
    for file in place.iterdir():
        file.write_text(file.read_text()[:-20])
    assert kept.read(place, "q") is None


def test_the_same_question_is_asked_once(site) -> None:
    calls = []
    assert site.desk.once("k", lambda: calls.append(1) or 7) == 7
    assert site.desk.once("k", lambda: calls.append(1) or 8) == 7
    assert calls == [1]
    with pytest.raises(ZeroDivisionError):
        site.desk.once("bad", lambda: 1 // 0)
    assert site.desk.once("bad", lambda: 5) == 5


def test_a_verification_is_done_by_a_process(site) -> None:
    place = site.desk.place("first")
    number = site.work.start("verify", place, {})
    assert site.work.start("verify", place, {}) == number
    end = time.monotonic() + 120
    while site.work.piece(number).state in {"waiting", "running"} and time.monotonic() < end:
        time.sleep(0.1)
    piece = site.work.piece(number)
    assert piece.state == "done"
    assert "findings" in piece.result
    again = Work(site.work.folder)
    assert again.piece(number).result == piece.result


def test_work_that_cannot_be_done_says_why(site) -> None:
    number = site.work.start("whatif", site.desk.place("first"), {"interventions": [{"remove": 1}]})
    end = time.monotonic() + 120
    while site.work.piece(number).state in {"waiting", "running"} and time.monotonic() < end:
        time.sleep(0.1)
    piece = site.work.piece(number)
    assert piece.state == "failed"
    assert piece.problem.startswith("[R") or piece.problem.startswith("[Q")


def test_work_of_strange_numbers_is_not_known(site) -> None:
    for number in ("", "..", "../x", "nothing", "a/b"):
        with pytest.raises(WebError, match="W108"):
            site.work.piece(number)


def test_too_much_work_is_refused(tmp_path) -> None:
    work = Work(tmp_path)
    work._states = {f"n{number}": "waiting" for number in range(MAX_WAITING)}
    with pytest.raises(WebError, match="W111"):
        work.start("verify", tmp_path, {})
    work.close()


def test_folders_and_addresses_are_checked_first(tmp_path) -> None:
    with pytest.raises(WebError, match="W102"):
        make_site(Settings(tmp_path / "nothing"))
    with pytest.raises(WebError, match="W103"):
        serve(Settings(tmp_path, host="0.0.0.0"), print)  # noqa: S104 - it is refused


def test_names_lead_to_runs_that_were_found_alone(runs, tmp_path) -> None:
    desk = Desk(runs, tmp_path)
    assert desk.place("team~second") == (runs / "team" / "second")
    for name in ("..", "team", "team/second", "/etc", ""):
        with pytest.raises(WebError, match="W104"):
            desk.place(name)


def test_a_request_that_was_written_is_json(site) -> None:
    for place in site.work.folder.iterdir():
        if (place / "request.json").exists():
            assert json.loads((place / "request.json").read_text())["kind"]


def test_texts_are_compared_with_the_contents_of_examples(site, runs) -> None:
    """Neither the commitment to a content nor other columns of the record are taken for a text."""
    with open_ledger(runs / "first") as ledger:
        nothing = alike(ledger, Contents(), "one two three four five six")
        assert nothing["alike"] is None
        assert "--content" in nothing["not_alike"]
        row = ledger.describe(3).rows
        path = next(item["value"] for item in row if item["column"] == "path")
        folder = runs.parent / "contents"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("one two three four five six seven\n")
        found = alike(ledger, Contents([folder]), "one two three four five six")
    rows = answer_from_json(found["alike"]).table("candidates").records()
    assert [item["example"] for item in rows] == [3]
    assert rows[0]["containment"] == 1.0
