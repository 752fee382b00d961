"""Hostile metadata, contents and addresses stay text."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "query"))
sys.path.insert(0, str(Path(__file__).parent))

from benchmarks.hostile import CASES, MARK
from conftest import Served, serve, stop, watch
from make_preamble import EXAMPLES
from make_run import make_run

#: Tables hold no lone surrogates.
TEXTS = [text.encode("utf-8", "replace").decode() for text in CASES.values()]


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A folder with runs whose metadata, names and contents are hostile."""
    folder = tmp_path_factory.mktemp("hostile") / "runs"
    count = len(EXAMPLES)
    for number in range(0, len(TEXTS), count):
        texts = [MARK + TEXTS[(number + place) % len(TEXTS)] for place in range(count)]
        name = f"run-{number}" if number else "<img src=x onerror=alert(1)>"
        make_run(
            folder / name,
            metadata={"source": texts, "license": texts[::-1], "path": texts, "text": texts},
        )
    started = serve(folder, folder.parent)
    yield started
    stop(started)


def test_nothing_hostile_becomes_markup(browser, poisoned: Served) -> None:
    found = watch(browser, poisoned)
    runs = found.page.locator("#runs tbody tr td:first-child a")
    addresses = [link.get_attribute("href") for link in runs.all()]
    assert len(addresses) == -(-len(TEXTS) // len(EXAMPLES))
    seen = 0
    for address in addresses:
        at = address.removesuffix("overview")
        pages = ["overview", "trace", "examples", "matrix?columns=source", "follow?column=license"]
        pages += [f"example?example={number}" for number in range(len(EXAMPLES))]
        pages += ["follow?where=class=copyleft", "policies", "behaviour?text=alert"]
        for page in pages:
            found.open(at + page)
            seen += found.page.locator("main").inner_text().count(MARK)
            foreign = found.page.evaluate(
                """() => [...document.querySelectorAll(
                  'main script, main iframe, main style, main img, main link, main animate,'
                  + 'main foreignObject, main object, main embed, base, meta[http-equiv]')]
                  .filter((item) => !item.matches('.drawing style')).length"""
            )
            assert foreign == 0, page
            handlers = found.page.evaluate(
                """() => [...document.querySelectorAll('main *')].filter((item) =>
                  [...item.attributes].some((a) => a.name.startsWith('on')
                    || /^\\s*(javascript|data):/i.test(a.value) && a.name === 'href')).length"""
            )
            assert handlers == 0, page
    assert seen > 100
    found.page.context.close()
    assert not found.problems


@pytest.mark.parametrize(
    "address",
    [
        "/run/..%2f..%2fetc/overview",
        "/run/%2e%2e/overview",
        "/static/..%2f..%2fserve.py",
        "/static/%2e%2e/serve.py",
        "/run/nothing/overview",
        "/run/nothing/passwd",
        "/<script>alert(1)</script>",
    ],
)
def test_no_path_leads_out(address: str, browser, served) -> None:
    found = watch(browser, served)
    answer = found.page.context.request.get(served.base + address)
    assert answer.status in {400, 404}
    assert "<script>alert" not in answer.text()
    found.page.context.close()


@pytest.mark.parametrize("text", ["9" * 30, "-1", "1e9", "nan", "<b>", "1;DROP TABLE visits"])
def test_arguments_that_cannot_be_read_are_refused_in_words(text: str, browser, served) -> None:
    found = watch(browser, served)
    ask = found.page.context.request
    for page in ("trace?start=", "matrix?top=", "examples?page=", "books?step="):
        answer = ask.get(f"{served.base}/run/demo-tiny/{page}{quote(text)}")
        assert answer.status == 400
        assert "W107" in answer.text()
    found.page.context.close()
