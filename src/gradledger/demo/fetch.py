"""Download the wheels of the demo, by hash, into a cache: ``python -m gradledger.demo.fetch``.

pip fetches (so that proxies and mirrors are the user's own affair) and checks the hashes; this
module checks them again, since a file may also have been put into the cache by hand. Wheels are
moved into the cache only when they are right: an interrupted download leaves nothing behind.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gradledger.demo.manifest import WheelPin, default_cache, file_sha256, read_manifest
from gradledger.errors import GradledgerError, StorageError

__all__ = ["FetchReport", "fetch_wheels", "main", "missing_wheels"]

#: Seconds after which a download is given up.
TIMEOUT_SECONDS: Final = 600

Runner = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True)
class FetchReport:
    """What a call of :func:`fetch_wheels` found and did.

    Attributes:
        cache: The folder that holds the wheels.
        present: File names that were there already, with the right digest.
        fetched: File names that were downloaded.
        num_bytes: Length of all wheels together.
    """

    cache: Path
    present: tuple[str, ...]
    fetched: tuple[str, ...]
    num_bytes: int


def missing_wheels(cache: Path, pins: Sequence[WheelPin] | None = None) -> tuple[WheelPin, ...]:
    """Return the wheels that the cache lacks or holds with another digest.

    Args:
        cache: Folder of wheels; need not exist.
        pins: Wheels to look for; by default those of the manifest.
    """
    return tuple(
        pin
        for pin in (read_manifest() if pins is None else pins)
        if not (cache / pin.filename).is_file() or file_sha256(cache / pin.filename) != pin.sha256
    )


def fetch_wheels(
    cache: Path, pins: Sequence[WheelPin] | None = None, *, run: Runner | None = None
) -> FetchReport:
    """Bring the cache up to the manifest; download only what is missing.

    Args:
        cache: Folder of wheels; made if it does not exist.
        pins: Wheels to have; by default those of the manifest.
        run: How pip is called, for tests; by default a subprocess of this interpreter.

    Returns:
        What was there and what was downloaded.

    Raises:
        StorageError: S151 if the wheels cannot be downloaded, S152 if the cache cannot be written.
    """
    pins = read_manifest() if pins is None else tuple(pins)
    missing = missing_wheels(cache, pins)
    if missing:
        try:
            cache.mkdir(parents=True, exist_ok=True)
            # Inside the cache: moving a finished wheel is then a rename on one file system.
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache) as folder:
                _download(missing, Path(folder), cache, run or _run_pip)
                for pin in missing:
                    (Path(folder) / pin.filename).replace(cache / pin.filename)
        except OSError as fault:
            raise StorageError(
                "S152",
                observed=f"{fault}",
                expected="a folder that can be written",
                where=str(cache),
                hint="name another folder with --cache",
            ) from fault
    fetched = {pin.filename for pin in missing}
    return FetchReport(
        cache=cache,
        present=tuple(pin.filename for pin in pins if pin.filename not in fetched),
        fetched=tuple(pin.filename for pin in missing),
        num_bytes=sum(pin.num_bytes for pin in pins),
    )


def _download(pins: Sequence[WheelPin], folder: Path, cache: Path, run: Runner) -> None:
    """Let pip download ``pins`` into ``folder`` and check every file; S151 otherwise."""
    requirements = folder / "requirements.txt"
    lines = [f"{pin.name}=={pin.version} --hash=sha256:{pin.sha256}" for pin in pins]
    requirements.write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--retries", "2"]
    words += [
        "--no-deps",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
        "--require-hashes",
    ]
    words += ["--dest", str(folder), "--requirement", str(requirements)]
    try:
        done = run(words)
    except subprocess.TimeoutExpired as fault:
        observed = f"no end of the download after {TIMEOUT_SECONDS} s"
        raise _not_fetched(observed, len(pins), cache) from fault
    if done.returncode != 0:
        raise _not_fetched(_last_word(done.stderr or done.stdout), len(pins), cache)
    for pin in pins:
        wheel = folder / pin.filename
        if not wheel.is_file():
            raise _not_fetched(f"no {pin.filename} after the download", len(pins), cache)
        if (digest := file_sha256(wheel)) != pin.sha256:
            raise _not_fetched(f"{pin.filename} with SHA-256 {digest}", len(pins), cache)


def _not_fetched(observed: str, num_missing: int, cache: Path) -> StorageError:
    return StorageError(
        "S151",
        observed=observed,
        expected=f"{num_missing} wheels with the digests of the manifest",
        where=str(cache),
        hint=(
            "go online and run it again, or copy the wheels named in manifest.json into that folder"
        ),
    )


def _last_word(text: str) -> str:
    """The last error line of pip, shortened; pip says the cause there."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")] or lines
    return errors[-1][:300] if errors else "a failure of pip without a message"


def _run_pip(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 -- the words are made here, no shell
        list(words), capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a command; return its exit status (0: every wheel is there, 2: not)."""
    parser = argparse.ArgumentParser(
        prog="python -m gradledger.demo.fetch",
        description="Download the wheels that the demo reads as data.",
    )
    parser.add_argument(
        "--cache", type=Path, default=default_cache(), help="folder of wheels (.cache/wheels)"
    )
    cache = parser.parse_args(arguments).cache
    try:
        report = fetch_wheels(cache)
    except GradledgerError as fault:
        sys.stderr.write(f"{fault}\n")
        return 2
    total = len(report.present) + len(report.fetched)
    sys.stdout.write(
        f"{total} wheels, {report.num_bytes / 1e6:.1f} MB, in {report.cache}:"
        f" {len(report.fetched)} downloaded, {len(report.present)} already there\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
