"""Who is let in, and what is forbidden to a browser."""

from __future__ import annotations

import pytest

PAGES = ("/", "/runs", "/run/first/overview", "/run/first/trace.json", "/compare", "/nothing")


@pytest.mark.parametrize("path", PAGES)
def test_without_the_token_nothing_is_shown(path: str, stranger) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 403
    assert "W105" in answer.text
    assert "first" not in answer.text.replace("first.", "")


@pytest.mark.parametrize("token", ["", "a-toke", "a-tokens", "A-TOKEN", "é"])
def test_another_token_is_none(token: str, stranger) -> None:
    assert stranger.get("/runs", params={"token": token}).status_code == 403
    cookie = {"cookie": "gradledger_token=x"}
    assert stranger.get("/runs", headers=cookie).status_code == 403


def test_the_token_goes_from_the_address_into_a_cookie(site, stranger) -> None:
    answer = stranger.get("/run/first/trace?group=head&token=a-token&top=5", follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/run/first/trace?group=head&top=5"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert stranger.get("/runs").status_code == 200
    stranger.cookies.clear()


def test_the_redirect_stays_on_this_server(stranger) -> None:
    answer = stranger.get("//evil.example/x?token=a-token", follow_redirects=False)
    assert not answer.headers.get("location", "/").startswith("//")
    stranger.cookies.clear()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", ""]
)
def test_another_name_is_refused(host: str, client) -> None:
    answer = client.get("/runs", headers={"host": host})
    assert answer.status_code == 403
    assert "W106" in answer.text


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1:99", "[::1]:8765", "localhost"])
def test_names_of_this_machine_are_let_in(host: str, client) -> None:
    assert client.get("/runs", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "https://127.0.0.1:1"])
def test_work_is_started_from_these_pages_alone(origin: str, site, stranger) -> None:
    headers = {"cookie": "gradledger_token=a-token"}
    headers |= {"origin": origin} if origin else {}
    answer = stranger.post("/run/first/verify", headers=headers)
    assert answer.status_code == 403
    assert "W106" in answer.text
    assert not site.work.pieces(site.desk.place("first"), "verify")
    stranger.cookies.clear()


def test_every_answer_forbids_what_pages_do_not_need(client, stranger) -> None:
    for answer in (client.get("/runs"), stranger.get("/runs"), client.get("/static/page.css")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"


def test_pages_hold_no_script_or_style_of_their_own(client) -> None:
    text = client.get("/run/first/overview").text
    assert "<style" not in text
    assert " style=" not in text
    assert "javascript:" not in text
    assert text.count("<script") == text.count("<script src=") + text.count(
        '<script type="module" src='
    )


def test_nothing_lists_what_the_server_can_do(client) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert client.get(path).status_code == 404
