"""Pictures of the pages for the documents: drawn here, kept where GRADLEDGER_SCREENS says."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from conftest import RUN, watch

AT = f"/run/{RUN}/"
SCREENS = {
    "overview": (f"{AT}overview", "light"),
    "map": (f"{AT}matrix", "light"),
    "capability": (f"{AT}capability?name=licence%20headers", "light"),
    "example": (f"{AT}example?example=100", "light"),
    "what-if": (f"{AT}whatif?where=package=requests", "light"),
    "map-dark": (f"{AT}matrix", "dark"),
}


def test_pictures_for_the_documents_are_drawn(browser, served, tmp_path: Path) -> None:
    from PIL import Image

    folder = Path(os.environ.get("GRADLEDGER_SCREENS") or tmp_path)
    for name, (address, scheme) in SCREENS.items():
        found = watch(browser, served, color_scheme=scheme, device_scale_factor=1)
        found.open(address)
        if name == "what-if" and found.page.locator("#executed").count() == 0:
            found.page.get_by_role("button", name="Execute the run again").click()
            found.page.wait_for_selector("#executed", timeout=240_000)
            found.open(address)
        place = folder / f"{name}.png"
        found.page.screenshot(path=str(place))
        found.page.context.close()
        shown = np.asarray(Image.open(place).convert("L"), np.float64)
        assert shown.shape == (900, 1360)
        assert shown.std() > 5.0  # something is on it
        assert bool(shown.mean() > 200) is (scheme == "light")
