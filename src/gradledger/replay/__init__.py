"""Executing a recorded run again: bit for bit, with something done along the way."""

from gradledger.replay.recorded import RecordedRun
from gradledger.replay.rerun import rerun
from gradledger.replay.settle import Settled, settle

__all__ = ["RecordedRun", "Settled", "rerun", "settle"]
