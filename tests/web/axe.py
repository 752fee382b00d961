"""Accessibility of a page as axe sees it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

_PLACE = Path(__file__).parent / "vendor" / "axe-4.14.1.min.js"


@cache
def _source() -> str:
    return _PLACE.read_text(encoding="utf-8")


def violations(page: Any) -> list[str]:
    """Return one line per rule that the page breaks, with the first place where it does."""
    page.evaluate(_source())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{item['id']}: {item['help']} ({item['nodes'][0]['html'][:160]})"
        for item in found["violations"]
    ]
