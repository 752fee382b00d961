"""Ask the pages without a network: requests go straight into the application."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from time import process_time
from typing import Any

from starlette.testclient import TestClient

from gradledger.web.serve import Settings, make_site
from gradledger.web.site import make_app

_TOKEN = "bench"  # noqa: S105 - opens nothing but this process


class Client:
    """A client of the pages on a folder of runs.

    Args:
        runs: The folder.
        work: Folder for derived files.
    """

    def __init__(self, runs: Path, work: Path) -> None:
        application: Any = make_app(make_site(Settings(runs, work=work)), _TOKEN)
        headers = {"authorization": f"Bearer {_TOKEN}"}
        self._client = TestClient(application, base_url="http://127.0.0.1:1", headers=headers)

    def get(self, url: str) -> str:
        """Return a page.

        Raises:
            RuntimeError: It was refused.
        """
        answer = self._client.get(url)
        if answer.status_code != 200:
            message = f"{url}: {answer.status_code} {answer.text[:500]}"
            raise RuntimeError(message)
        return answer.text

    def seconds(self, url: str) -> float:
        """Return the processor seconds that a page takes."""
        begun = process_time()
        self.get(url)
        return process_time() - begun


def peak_memory() -> float:
    """Return the largest resident memory of this process so far, in bytes."""
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(largest if sys.platform == "darwin" else 1024 * largest)
