"""The pictures of the tutorials are what the code draws today."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+\.png)\)")
#: Mean difference of the pixels, of 255: other processors move a line by a part of a pixel.
CLOSE = 2.0


@pytest.fixture(scope="module")
def drawn(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    answer = subprocess.run(
        [sys.executable, "-W", "error", str(root / "scripts" / "draw_tutorials.py"), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    return folder


def test_committed_pictures_are_those_that_are_drawn(drawn: Path, root: Path) -> None:
    from PIL import Image

    committed = sorted((root / "docs" / "tutorials").glob("*.png"))
    assert [path.name for path in committed] == sorted(path.name for path in drawn.glob("*.png"))
    assert committed
    for path in committed:
        old, new = (
            np.asarray(Image.open(place).convert("L"), np.float64)
            for place in (path, drawn / path.name)
        )
        assert old.shape == new.shape, f"{path.name}: run python scripts/draw_tutorials.py"
        difference = float(np.abs(old - new).mean())
        assert difference <= CLOSE, f"{path.name}: run python scripts/draw_tutorials.py"


def test_pictures_have_words_for_those_who_do_not_see_them(page) -> None:
    for words, name in PICTURE.findall(page.text):
        assert len(words.split()) >= 4, name
        assert (page.path.parent / name).is_file(), name
