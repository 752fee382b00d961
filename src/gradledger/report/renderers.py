"""The registry of renderers: one file per member, joined here."""

from __future__ import annotations

from typing import Final

from gradledger.report.render_html import HTML
from gradledger.report.render_json import JSON
from gradledger.report.renderer import Renderer

#: Name -> renderer; the first is the default.
RENDERERS: Final[dict[str, Renderer]] = {renderer.name: renderer for renderer in (HTML, JSON)}
