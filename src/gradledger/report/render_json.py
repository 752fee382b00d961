"""Renderer: JSON in ASCII, every figure with what stands behind it.

Texts of the run are made inert here too: a reader may print them on a terminal, or put the document
into a page. Angle brackets and ampersands are escaped, so that it cannot end a script element.
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from gradledger.query import inert
from gradledger.report.evidence import Basis, Chart, Evidence, Figure, Grid, Section
from gradledger.report.renderer import Renderer

#: Characters of one text before it is cut.
_LONGEST = 4000


def to_json(evidence: Evidence) -> str:
    """Return the report as JSON."""
    text = json.dumps(document(evidence), ensure_ascii=True, allow_nan=False, indent=1)
    for char in "<>&\x7f":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return f"{text}\n"


def document(evidence: Evidence) -> dict[str, Any]:
    """Return the report as plain JSON values; figures that are not finite become ``None``."""
    found = {
        "format": evidence.format,
        "report": evidence.kind,
        "title": evidence.title,
        "lead": evidence.lead,
        "subject": dataclasses.asdict(evidence.subject),
        "verdicts": [dataclasses.asdict(item) for item in evidence.verdicts],
        "headline": [_figure(item) for item in evidence.headline],
        "gauges": {name: _figure(item) for name, item in evidence.gauges.items()},
        "sections": [_section(item) for item in evidence.sections],
        "limits": list(evidence.limits),
        "files": [dataclasses.asdict(item) for item in evidence.files],
        "signed_log": dataclasses.asdict(evidence.signed_log) if evidence.signed_log else None,
    }
    return {key: _plain(value) for key, value in found.items()}


def _section(section: Section) -> dict[str, Any]:
    return {
        "key": section.key,
        "title": section.title,
        "words": list(section.words),
        "figures": [_figure(item) for item in section.figures],
        "charts": [_chart(item) for item in section.charts],
        "tables": [
            _grid(item)
            for item in (
                *section.grids,
                *(chart.grid for chart in section.charts if not chart.is_grid_beside),
            )
        ],
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "name": figure.name,
        "label": figure.label,
        "value": figure.value,
        **_basis(figure.basis),
    }


def _chart(chart: Chart) -> dict[str, Any]:
    return {
        "kind": chart.kind,
        "title": chart.title,
        "table": chart.grid.name,
        "columns": list(chart.columns),
    }


def _grid(grid: Grid) -> dict[str, Any]:
    names = [field.name for field in grid.fields]
    return {
        "name": grid.name,
        "title": grid.title,
        "note": grid.note,
        "columns": [
            {
                "name": field.name,
                "header": field.header,
                "kind": field.kind,
                "adds_up": field.adds,
                **(_basis(field.basis) if field.basis else {}),
            }
            for field in grid.fields
        ],
        "rows": [dict(zip(names, row, strict=True)) for row in grid.rows],
        "total": dict(zip(names, grid.total, strict=True)) if grid.total is not None else None,
    }


def _basis(basis: Basis) -> dict[str, Any]:
    return {
        "unit": basis.unit,
        "method": basis.method,
        "exactness": basis.exactness,
        "from": {"places": list(basis.places), "query": basis.query},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return inert(value, _LONGEST)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {inert(key, _LONGEST): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


JSON = Renderer(name="json", suffix=".json", media_type="application/json", render=to_json)
