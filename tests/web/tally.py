"""What went wrong over all pages, for whoever sets GRADLEDGER_WEB_TALLY to a file."""

from __future__ import annotations

import json
import os
from pathlib import Path

TALLY: dict[str, int] = {"pages": 0, "axe": 0, "console": 0, "foreign": 0, "clicks": 0}


def tell() -> None:
    """Write the tally where it is asked for."""
    if place := os.environ.get("GRADLEDGER_WEB_TALLY"):
        Path(place).write_text(json.dumps(TALLY), encoding="utf-8")
