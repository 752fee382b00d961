"""Every page, light and dark: sound, accessible, silent, from this host alone."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from axe import violations
from conftest import RUN
from tally import TALLY

AT = f"/run/{RUN}/"
PAGES = {
    "runs": "/runs",
    "compare": f"/compare?a={RUN}&b={RUN}",
    "overview": f"{AT}overview",
    "matrix": f"{AT}matrix",
    "matrix of groups": f"{AT}matrix?rows=group&columns=license",
    "trace": f"{AT}trace?group=lm_head",
    "trace by class": f"{AT}trace?by=class&order=signed",
    "kinds": f"{AT}follow?column=license",
    "source": f"{AT}follow?where=source=pypi:requests",
    "licence": f"{AT}follow?where=license=Apache-2.0",
    "class": f"{AT}follow?where=class=attribution",
    "rule": f"{AT}follow?where=rule=permissive",
    "examples": f"{AT}examples?search=requests",
    "example": f"{AT}example?example=100",
    "capabilities": f"{AT}capability",
    "capability": f"{AT}capability?name=licence%20headers",
    "capability by block": f"{AT}capability?name=canary&by=block",
    "behaviour": f"{AT}behaviour",
    "policies": f"{AT}policies?capability=licence%20headers",
    "what if": f"{AT}whatif",
    "what if without a package": f"{AT}whatif?where=package=attrs",
    "what if with a profile": f"{AT}whatif?do=reprofile&where=package=attrs",
    "what if some steps": f"{AT}whatif?where=package=attrs&first=2&last=9",
    "what if other content": f"{AT}whatif?do=substitute&where=example=100&other=101",
    "what if several": f"{AT}whatif?do=several&several=-%20%7Bremove:%20%7Bpackage:%20attrs%7D%7D",
    "what if nothing": f"{AT}whatif?do=nothing",
    "behind a behaviour": f"{AT}behaviour?name=canary",
    "books": f"{AT}books",
    "books of a step": f"{AT}books?step=7",
    "states": f"{AT}states",
    "verification": f"{AT}verify",
    "reports": f"{AT}report",
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_page_is_sound(name: str, scheme: str, shared) -> None:
    found = shared[scheme]
    answer = found.open(PAGES[name])
    page = found.page
    assert answer.status == 200
    assert "content-security-policy" in answer.headers
    assert page.locator("h1").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 1360
    broken = violations(page)
    TALLY["axe"] += len(broken)
    assert not broken


@pytest.mark.parametrize("name", PAGES)
def test_page_reads_without_scripts(name: str, shared) -> None:
    found = shared["plain"]
    assert found.page.goto(found.base + PAGES[name]).status == 200
    # Every table is open, every form has a button, and nothing waits for a script.
    assert found.page.locator("details:not(.notes):not([open])").count() == 0
    assert found.page.locator("form").count() == found.page.locator("form button").count()


@pytest.mark.parametrize("name", PAGES)
def test_page_is_data_too(name: str, shared) -> None:
    found = shared["light"]
    ask = found.page.context.request
    text = ask.get(found.base + PAGES[name]).text()
    (link,) = _addresses(text, r'<a href="([^"]+)">JSON</a>')
    record = json.loads(ask.get(found.base + link).text())
    assert record["commands"] or name == "runs"
    for answer in record["answers"].values():
        assert answer["mark"] in {"exact", "estimated", "executed"}
    for place in _addresses(text, r'<a class="csv" href="([^"]+)"'):
        answer = ask.get(found.base + place)
        assert answer.ok, place
        rows = list(csv.reader(io.StringIO(answer.text())))
        assert len({len(row) for row in rows}) == 1


def _addresses(text: str, pattern: str) -> list[str]:
    return [html.unescape(found) for found in re.findall(pattern, text)]


def test_every_chart_is_drawn_from_its_table(watched) -> None:
    for name in ("overview", "matrix", "trace", "capability", "example", "compare"):
        watched.open(PAGES[name])
        figures = watched.page.locator("figure[data-chart]")
        assert figures.count() >= 1
        for figure in figures.all():
            assert figure.locator(".drawing svg").count() == 1, name
            assert figure.locator("table tbody tr").count() >= 1
            assert "table below" in figure.get_attribute("aria-label")


def test_pages_print_without_navigation(watched) -> None:
    watched.run("capability?name=canary")
    watched.page.emulate_media(media="print")
    assert not watched.page.locator("nav.side").is_visible()
    assert not watched.page.locator("form").first.is_visible()
    assert watched.page.locator("#course table").is_visible()  # folded on a screen
    assert watched.page.locator("#ranking table").is_visible()
