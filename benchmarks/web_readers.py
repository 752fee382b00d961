"""Twenty readers of one address, each as a browser on another machine would follow a live page.

They ask with the entity tag that they were given last, every two seconds, over connections of their
own that stay open, while a file is there. They parse nothing, and yield to every other process: on
other machines they would cost this one nothing.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from time import perf_counter

NUM_READERS, SECONDS_BETWEEN = 20, 2.0
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_TAG = re.compile(rb"etag: (\S+)", re.IGNORECASE)


class _Reader:
    """One connection that is opened again where the server closed it while nobody asked."""

    def __init__(self, port: int, head: str) -> None:
        self._port, self._head = port, head.encode()
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._tag = b""

    async def ask(self) -> int:
        """Return the status of an answer that was read to its end."""
        if self._open is None:
            self._open = await asyncio.open_connection("127.0.0.1", self._port)
        source, drain = self._open
        known = b"if-none-match: " + self._tag + b"\r\n" if self._tag else b""
        drain.write(self._head + known + b"\r\n")
        await drain.drain()
        answer = await source.readuntil(b"\r\n\r\n")
        if length := _LENGTH.search(answer):
            await source.readexactly(int(length[1]))
        self._tag = match[1] if (match := _TAG.search(answer)) else b""
        return int(answer.split(b" ", 2)[1])

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self._open is not None:
            self._open[1].close()
        self._open = None


async def _read(number: int, port: int, head: str, folder: Path, found: list[float]) -> None:
    """Follow the page while told to; add seconds per answer, negative where it failed."""
    await asyncio.sleep(SECONDS_BETWEEN * number / NUM_READERS)
    reader = _Reader(port, head)
    while not (folder / "stop").exists():
        if (folder / "read").exists():
            begun = perf_counter()
            status = await reader.ask()
            seconds = perf_counter() - begun
            found.append(seconds if status in {200, 304} else -seconds)
        else:
            reader.close()
        await asyncio.sleep(SECONDS_BETWEEN)


async def main(port: int, token: str, path: str, folder: Path) -> None:
    """Read until told to stop, then write how many answers came, failed, and how long they took."""
    head = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {token}\r\n"
    found: list[float] = []
    readers = [_read(number, port, head, folder, found) for number in range(NUM_READERS)]
    outcomes = await asyncio.gather(*readers, return_exceptions=True)
    cut_off = sum(isinstance(item, BaseException) for item in outcomes)
    errors = cut_off + sum(seconds < 0 for seconds in found)
    times = sorted(abs(seconds) for seconds in found) or [0.0]
    late = times[int(0.95 * (len(times) - 1))]
    (folder / "said").write_text(f"{len(found)} {errors} {late}")


if __name__ == "__main__":
    os.nice(19)
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])))
