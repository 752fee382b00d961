"""Run the tutorials and keep the pictures that they draw.

    python scripts/draw_tutorials.py [FOLDER]

The pictures of a page are written beside it, or into FOLDER. A test runs this and compares what
comes out with what is committed, so that no picture shows what the code no longer does.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TUTORIALS = ROOT / "docs" / "tutorials"
_BLOCK = re.compile(r"^```python\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)
_PICTURE = re.compile(r"!\[[^\]]*\]\(([\w-]+\.png)\)")


def draw(page: Path, folder: Path) -> list[Path]:
    """Run the blocks of one page in an empty folder; return the pictures, moved to ``folder``."""
    text = page.read_text(encoding="utf-8")
    before = Path.cwd()
    # Rounding must not depend on whether a compiler is found.
    os.environ["GRADLEDGER_COMPILE"] = "0"
    with tempfile.TemporaryDirectory() as empty:
        os.chdir(empty)
        try:
            namespace: dict[str, object] = {"__name__": "__main__"}
            with contextlib.redirect_stdout(sys.stderr):
                for block in _BLOCK.findall(text):
                    exec(compile(block, page.name, "exec"), namespace)  # noqa: S102 - our own page
            return [
                Path(shutil.move(Path(empty) / name, folder / name))
                for name in _PICTURE.findall(text)
            ]
        finally:
            os.chdir(before)


def main() -> int:
    """Draw the pictures of every tutorial."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else TUTORIALS
    for page in sorted(TUTORIALS.glob("*.md")):
        for path in draw(page, folder):
            print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
