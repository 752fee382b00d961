"""The page: what it may load, how it hangs together, and what it shows of large runs."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from benchmarks.hostile import CASES, poison, problems_of_json, problems_of_page
from hypothesis import given
from hypothesis import strategies as st

from gradledger.query import inert
from gradledger.report import RENDERERS
from gradledger.report.evidence import Basis, Chart, Evidence, Field, Grid, Section
from gradledger.report.markup import Markup, breakable, prose, tag
from gradledger.report.numerals import MINUS, numerals
from gradledger.report.page import DRAWN, page


class _Tree(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.unclosed: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in {"meta", "wbr"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unclosed.append(tag)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.seen if name == tag]


@pytest.fixture(scope="module", params=["rights", "safety"])
def tree(request, rights, safety) -> _Tree:
    return _Tree({"rights": rights, "safety": safety}[request.param].to_html())


def test_the_page_is_well_formed(tree) -> None:
    assert tree.open == []
    assert tree.unclosed == []


def test_only_the_sheet_of_styles_may_load(rights) -> None:
    text = rights.to_html()
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [
        found["content"]
        for found in _Tree(text).all("meta")
        if found.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert "prefers-color-scheme:dark" in style
    assert "@media print" in style
    assert not re.search(r"https?:|//", text.replace("://", "//"))


def test_links_stay_in_the_page_and_lead_somewhere(tree) -> None:
    targets = [attributes["id"] for _, attributes in tree.seen if "id" in attributes]
    assert len(set(targets)) == len(targets)
    links = [found["href"] for found in tree.all("a")]
    assert links
    assert all(link.startswith("#") and link[1:] in targets for link in links)


def test_drawings_have_names_for_those_who_do_not_see_them(rights) -> None:
    tree = _Tree(rights.to_html())
    drawings = tree.all("svg")
    assert len(drawings) == 4
    targets = {attributes.get("id") for _, attributes in tree.seen}
    for drawing in drawings:
        assert drawing["role"] == "img"
        title, description = drawing["aria-labelledby"].split()
        assert {title, description} <= targets


def test_every_chart_has_the_table_of_its_figures(rights) -> None:
    held = rights.to_dict()
    for section in held["sections"]:
        names = [grid["name"] for grid in section["tables"]]
        assert all(chart["table"] in names for chart in section["charts"])
    assert rights.to_html().count("<details>") == 2


def test_the_json_form_holds_the_figures_of_the_page(rights) -> None:
    held = json.loads(rights.to_json())
    assert held == rights.to_dict()
    assert held["report"] == "rights"
    assert held["signed_log"] is None


@pytest.mark.parametrize("name", sorted(CASES))
def test_hostile_text_stays_inert(name, truth, tmp_path, make) -> None:
    run_dir = poison(truth.path, tmp_path, CASES[name])
    for kind in ("rights", "safety"):
        report = make(run_dir, kind)
        assert problems_of_page(report.to_html()) == []
        assert problems_of_json(report.to_json()) == []
        assert inert(str(report).replace("\n", ""), 10**6) == str(report).replace("\n", "")


def test_there_are_thirty_hostile_texts() -> None:
    assert len(CASES) == 30


def test_the_check_of_hostile_pages_can_fail() -> None:
    assert problems_of_page("<style></style>zqx7<script>1</script>") == ["element script"]
    assert problems_of_page("<style></style>zqx7<p onclick=x>") == ["attribute onclick of p"]
    assert problems_of_page("<style></style>zqx7<a href='https://e'>") == ["link to https://e"]
    assert problems_of_page("<style></style>zqx7<!-- x -->") == ["comment  x "]
    assert problems_of_page("<style>a{b:url(x)}</style>zqx7") == ["style that loads"]
    assert problems_of_page("<style></style>zqx7\u202e") == ["character U+202E"]
    assert problems_of_page("<style></style>") != []
    good = '{"format": "gradledger.report/1", "x": "zqx7"}'
    assert problems_of_json(good) == []
    assert problems_of_json(good.replace("zqx7", "zqx7<b>")) != []
    assert problems_of_json(good.replace("zqx7", "zqx7\\u0000")) == ["character U+0000"]


@given(st.text(max_size=60), st.text(max_size=60))
def test_text_in_an_element_comes_back_as_it_went_in(content: str, value: str) -> None:
    tree = _Tree(tag("p", content, title=value))
    assert tree.seen == [("p", {"title": inert(value, 400)})]
    assert tree.unclosed == []
    for made in (breakable(content), prose(content)):
        assert {name for name, _ in _Tree(made).seen} <= {"wbr"}


def test_markup_is_not_escaped_twice() -> None:
    assert tag("p", tag("b", "a<b"), Markup("&amp;")) == "<p><b>a&lt;b</b>&amp;</p>"


def test_numerals_of_a_column_line_up() -> None:
    assert numerals([0.5, -0.0301, None], "share") == ["50.00", f"{MINUS}3.01", "\u2013"]
    assert numerals([-1e-9, 0.5], "share") == ["0.00", "50.00"]
    assert numerals([1234567, 0], "integer") == ["1,234,567", "0"]
    assert numerals([8.54e-9], "number") == ["8.54\u00b710\u207b\u2079"]
    assert numerals([0.25, 1.0], "weight") == ["0.25", "1.00"]
    assert numerals([0.125, 1.0], "weight") == ["0.125", "1.000"]
    assert numerals([float("nan"), None, 1.5], "number") == ["\u2013", "\u2013", "1.500"]


def _wide(rights, num_blocks: int, num_rows: int, values=lambda n: (-1) ** n / (n + 1)) -> Evidence:
    basis = Basis("1", "made up", "exact", ("visits",), "none")
    names = [f"block_{n}" for n in range(num_blocks)]
    fields = (
        Field("key", "licence"),
        *(Field(name, f"model.layers.{n}", "share", basis, adds=True)
          for n, name in enumerate(names)),
        Field("visits", "visits", "integer", basis, adds=True),
    )  # fmt: skip
    rows = tuple((f"licence {n}", *[values(n)] * num_blocks, n) for n in range(num_rows))
    total = ("all visits", *[sum(values(n) for n in range(num_rows))] * num_blocks,
             sum(range(num_rows)))  # fmt: skip
    grid = Grid("wide", "By licence", fields, rows, total=total)
    charts = tuple(
        Chart(kind, kind, "made up", grid, tuple(names[:3] if kind == "balance" else names),
              is_grid_beside=True)
        for kind in DRAWN
    )  # fmt: skip
    section = Section("wide", "Wide", (), (), charts, (grid,))
    return dataclasses.replace(rights.evidence, sections=(section,))


@pytest.mark.parametrize("num_blocks", [3, 48])
@pytest.mark.parametrize("num_rows", [0, 1, 400])
def test_runs_of_any_size_are_drawn(rights, num_blocks, num_rows) -> None:
    text = page(_wide(rights, num_blocks, num_rows))
    tree = _Tree(text)
    assert tree.open == []
    for mark in tree.all("rect"):
        assert float(mark["width"]) >= 0
        assert -1 <= float(mark["x"]) <= 721
    assert "nan" not in text.lower().replace("provenance", "")
    if num_rows == 400:
        assert "376 more" in text
        assert ("columns by block are in the JSON form" in text) == (num_blocks == 48)


def test_rows_that_are_not_shown_are_added_up(rights) -> None:
    text = page(_wide(rights, 3, 400))
    row = re.search(r'<tr class="rest">(.*?)</tr>', text).group(1)
    cells = [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td.*?</td>", row)]
    expected = sum((-1) ** n / (n + 1) for n in range(24, 400))
    assert float(cells[1]) == pytest.approx(100 * expected, abs=0.01)
    assert cells[-1] == f"{sum(range(24, 400)):,}"


def test_figures_that_are_not_finite_are_drawn_as_nothing(rights) -> None:
    text = page(_wide(rights, 3, 3, values=lambda n: [float("nan"), None, float("inf")][n] or 0.0))
    assert _Tree(text).open == []


def test_renderers_are_named_like_their_files() -> None:
    assert list(RENDERERS) == ["html", "json"]
    for name, renderer in RENDERERS.items():
        assert renderer.name == name
        assert renderer.suffix == f".{name}"
