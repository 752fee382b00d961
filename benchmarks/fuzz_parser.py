"""Fuzz one parser in a process of its own, under a cap on memory and a limit per input.

Inputs are good ones with bytes or members changed, drawn by Hypothesis; each is written down before
it is read, so that one that ends the process (a crash in native code, the limit of time) is known.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parent.parent
#: Address space that reading may take beyond what the process has after its imports.
MEMORY_BYTES = 512 << 20
#: Processor seconds that one input may take, and wall seconds: the machine may do other work, or
#: hold this process for a while.
CASE_SECONDS, CASE_WALL_SECONDS = 10.0, 3600.0
_MAX_INPUT = 1 << 22
_ROUND = 400

PIECES = st.one_of(
    st.binary(max_size=8),
    st.sampled_from(
        [b"", b"\n", b"\n\n", b" ", b"\r\n", b"=", b"\0", b"0", b"-1", b"\xff", b"'", b'"', b"{",
         b"]",
         b"99999999999999999999", b"1e999", b"NaN", b"null", b"true", b"\xed\xa0\x80", b"\\ud800",
         b"((((((((", b"&a [*a]", b"<<: ", b"!!python/object", b"../", b"\xe2\x80\x94", b"\xc2\xa0"]
    ),
)  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["", "a/../b", "\0", "0" * 64, "step=1"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@dataclass
class Fuzzed:
    """What came of fuzzing one parser.

    Attributes:
        name: The parser.
        seconds: How long it was fuzzed.
        inputs: Inputs read.
        refused: Those answered with an error of this package.
        failures: Anything else, at most ten, as text.
        peak_growth_mb: Growth of the peak of resident memory.
        slowest_seconds: The slowest input, seconds of the processor.
        processor_seconds: Of all ``seconds``, those that this process had a processor.
    """

    name: str
    seconds: float = 0.0
    inputs: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)
    peak_growth_mb: float = 0.0
    slowest_seconds: float = 0.0
    processor_seconds: float = 0.0


def fuzz(name: str, material: Path, seconds: float, first_seed: int) -> Fuzzed:
    """Fuzz a parser in a child process and return what came of it; see ``Fuzzed``."""
    with tempfile.TemporaryDirectory() as folder:
        last, answer = Path(folder) / "last", Path(folder) / "answer.json"
        last.write_bytes(bytes(_MAX_INPUT + 8))
        paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
        command = [sys.executable, __file__, name, str(material), str(last), str(answer)]
        done = subprocess.run(
            [*command, "--seconds", str(seconds), "--seed", str(first_seed)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return Fuzzed(**json.loads(answer.read_text(encoding="utf-8")))
        content = last.read_bytes()
        length = int.from_bytes(content[:8], "little")
        ended = f"the process ended with {done.returncode}: {done.stderr[-1500:]}"
        if done.returncode in {-signal.SIGALRM, -signal.SIGPROF}:
            ended = f"no answer within {CASE_SECONDS} s ({signal.Signals(-done.returncode).name})"
        kept = Path(tempfile.gettempdir()) / f"fuzz-{name}-{os.getpid()}"
        kept.write_bytes(content[8 : 8 + length])
        return Fuzzed(name, failures=[f"{ended}; input in {kept}"])


class _Reader:
    """Reads inputs under the limits, and counts."""

    def __init__(self, target: Any, found: Fuzzed, last: mmap.mmap) -> None:
        from gradledger.errors import GradledgerError

        self._target, self._found, self._last = target, found, last
        self._own = GradledgerError

    def __call__(self, content: bytes) -> None:
        content = content[:_MAX_INPUT]
        self._last[:8] = len(content).to_bytes(8, "little")
        self._last[8 : 8 + len(content)] = content
        started = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, CASE_SECONDS)
        signal.setitimer(signal.ITIMER_REAL, CASE_WALL_SECONDS)
        try:
            self._target.read(content)
        except self._own as error:
            self._found.refused += 1
            if not error.code:
                self._fail(content)
        except Exception:  # noqa: BLE001 - any other exception is what is looked for
            self._fail(content)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
        self._found.inputs += 1
        taken = time.process_time() - started
        self._found.slowest_seconds = max(self._found.slowest_seconds, taken)

    def _fail(self, content: bytes) -> None:
        lines = traceback.format_exc().strip().splitlines()
        frame = next((line.strip() for line in reversed(lines) if "gradledger" in line), "")
        said = f"{lines[-1]:.200} at {frame}"
        if len(self._found.failures) < 10 and not any(
            frame in known for known in self._found.failures
        ):
            self._found.failures.append(f"{said}; input {content[:300]!r}")


def _inputs(seeds: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    strategies = [_edited(seeds), st.binary(max_size=300)]
    records = [record for content in seeds if (record := _record(content)) is not None]
    if records:
        strategies += [_replaced(records)] * 2
    return st.one_of([strategies[0], *strategies])


def _record(content: bytes) -> Any:
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


@st.composite
def _edited(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(0, len(content) - 1)))
        stop = min(len(content), start + draw(st.sampled_from([0, 1, 1, 1, 4, 40, 400])))
        doubled = draw(st.booleans())
        piece = content[start:stop] * 2 if doubled else draw(PIECES)
        content = content[:start] + piece + content[stop:]
    return content


@st.composite
def _replaced(draw: st.DrawFn, records: list[Any]) -> bytes:
    record = json.loads(json.dumps(draw(st.sampled_from(records))))
    for _ in range(draw(st.integers(1, 2))):
        holder = record
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inner = holder[key]
            if isinstance(inner, dict | list) and inner and draw(st.booleans()):
                holder = inner
                continue
            if draw(st.integers(0, 5)) == 0:
                del holder[key]
            else:
                holder[key] = draw(VALUES)
            break
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return (text + draw(st.sampled_from(["\n", ""]))).encode("utf-8", "surrogatepass")


def _child(options: argparse.Namespace) -> None:
    from benchmarks.fuzz_targets import targets

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shutil.copytree(options.material / "run", work / "run")
        target = targets(options.material, work)[options.name]()
        found = Fuzzed(options.name)
        with options.last.open("r+b") as file:
            reader = _Reader(target, found, mmap.mmap(file.fileno(), 0))
            for content in target.seeds:
                target.read(content)
            _cap_memory()
            before = _peak_kib()
            started, number = time.monotonic(), options.seed
            worked = time.process_time()
            while time.monotonic() - started < options.seconds:
                _round(reader, target.seeds, number, started + options.seconds)
                number += 1
            found.seconds = time.monotonic() - started
            found.processor_seconds = time.process_time() - worked
        found.peak_growth_mb = (_peak_kib() - before) / 1024
    options.answer.write_text(json.dumps(asdict(found)), encoding="utf-8")


def _round(reader: _Reader, seeds: tuple[bytes, ...], number: int, until: float) -> None:
    @seed(number)
    @settings(
        max_examples=_ROUND,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(content=_inputs(seeds))
    def attempt(content: bytes) -> None:
        if time.monotonic() < until:
            reader(content)

    attempt()


def _peak_kib() -> int:
    """Return the peak of resident memory; getrusage counts that of the process which forked too."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def _cap_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    cap = pages * mmap.PAGESIZE + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (cap, cap))


def main() -> None:
    """Fuzz in this process; called by ``fuzz``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("material", type=Path)
    parser.add_argument("last", type=Path)
    parser.add_argument("answer", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    _child(parser.parse_args())


if __name__ == "__main__":
    main()
