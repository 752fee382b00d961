"""A writer that is killed at random moments, again and again, on one log."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gradledger.canon import read_leaf
from gradledger.log import Log, LogReader, load_key, save_key
from gradledger.verify import check_log

WRITER = """
import sys
from pathlib import Path
from gradledger.canon import leaf_bytes
from gradledger.log import Log, load_key
from gradledger.schema import StateLeaf

with Log.open(Path(sys.argv[1]), load_key(Path(sys.argv[2]))) as log:
    print("ready", flush=True)
    while True:
        leaf = StateLeaf(run_id="r", step=log.size, state_sha256="0" * 64)
        print(log.append(leaf_bytes(leaf)), flush=True)
        if log.size % 3 == 0:
            log.publish()
"""


@pytest.mark.soak
def test_kills(tmp_path: Path, key, soaked) -> None:
    """Every index that the writer printed was on the disk, and the log verifies after each kill."""
    save_key(key, tmp_path / "key")
    own = load_key(tmp_path / "key")
    run_dir = tmp_path / "run"
    Log.create(run_dir, "example.org/runs/1", own).close()
    draw, num_kills = random.Random(9), 0  # noqa: S311
    wanted = soaked(60)
    for _ in range(wanted):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(run_dir), str(tmp_path / "key")],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout.readline() == "ready\n"
        # So many leaves first, however slow the machine is, and then any moment of the next ones.
        first = [writer.stdout.readline() for _ in range(draw.randrange(16))]
        time.sleep(draw.uniform(0, 0.03))
        writer.send_signal(signal.SIGKILL)
        printed = ("".join(first) + writer.communicate()[0]).split("\n")[:-1]
        num_kills += writer.returncode == -signal.SIGKILL
        found = check_log(run_dir, [own.verifier])
        assert {finding.code for finding in found} <= {"V903"}, found
        with Log.open(run_dir, own) as log:
            assert log.size >= 1 + int(printed[-1] if printed else -1)
            log.publish()
    assert num_kills == wanted
    steps = [read_leaf(leaf).step for leaf in LogReader(run_dir).leaves()]
    assert steps == list(range(len(steps)))
    assert len(steps) > 256 * wanted // 60
    assert check_log(run_dir, [own.verifier]) == []
