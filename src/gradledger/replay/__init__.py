"""Executing a recorded run again: bit for bit, with something done along the way."""

from gradledger.replay.contents import contents_of
from gradledger.replay.counterfactual import counterfactual
from gradledger.replay.loop import Language, TrainingLoop, named_observables, on_stored_model
from gradledger.replay.recorded import RecordedRun
from gradledger.replay.rerun import rerun
from gradledger.replay.settle import Settled, settle
from gradledger.replay.tasks import perform

__all__ = [
    "Language",
    "RecordedRun",
    "Settled",
    "TrainingLoop",
    "contents_of",
    "counterfactual",
    "named_observables",
    "on_stored_model",
    "perform",
    "rerun",
    "settle",
]
