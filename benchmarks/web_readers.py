"""Serve a folder and read its live overview as twenty browsers would, while a file is there."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from gradledger.web.serve import Settings, make_site
from gradledger.web.site import make_app

NUM_READERS, SECONDS_BETWEEN = 20, 2.0
_TOKEN = "bench"  # noqa: S105 - opens nothing but this process
_PORT = 8792


def main(runs: Path, log: Path) -> None:
    """Read until the file that says so is gone; add pages and errors to the log."""
    application: Any = make_app(make_site(Settings(runs)), _TOKEN)
    config = uvicorn.Config(application, port=_PORT, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    serving = threading.Thread(target=server.run)
    serving.start()
    while not server.started:
        time.sleep(0.05)
    ready = log.with_suffix(".ready")
    ready.touch()
    counts, lock = [0, 0], threading.Lock()

    def read(number: int) -> None:
        tag = ""
        time.sleep(SECONDS_BETWEEN * number / NUM_READERS)
        with httpx2.Client(base_url=f"http://127.0.0.1:{_PORT}", timeout=30) as client:
            while ready.exists():
                headers = {"authorization": f"Bearer {_TOKEN}", "if-none-match": tag}
                answer = client.get("/run/live/overview", headers=headers)
                tag = answer.headers.get("etag", "")
                with lock:
                    counts[0] += 1
                    counts[1] += answer.status_code not in {200, 304}
                time.sleep(SECONDS_BETWEEN)

    readers = [threading.Thread(target=read, args=(number,)) for number in range(NUM_READERS)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    before = [int(word) for word in log.read_text().split()] if log.exists() else [0, 0]
    log.write_text(f"{before[0] + counts[0]} {before[1] + counts[1]}")
    server.should_exit = True
    serving.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
