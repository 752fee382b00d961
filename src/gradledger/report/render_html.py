"""Renderer: one HTML page without script."""

from __future__ import annotations

from gradledger.report.page import page
from gradledger.report.renderer import Renderer

HTML = Renderer(name="html", suffix=".html", media_type="text/html", render=page)
