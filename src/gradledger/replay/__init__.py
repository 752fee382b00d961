"""Executing a recorded run again: bit for bit, with something done along the way."""

from gradledger.replay.contents import contents_of
from gradledger.replay.counterfactual import counterfactual
from gradledger.replay.frozen import finish_frozen, frozen_stretches
from gradledger.replay.loop import TrainingLoop, ask_model, named_observables
from gradledger.replay.recorded import RecordedRun
from gradledger.replay.rerun import rerun
from gradledger.replay.settle import Settled, settle
from gradledger.replay.tasks import perform

__all__ = [
    "RecordedRun",
    "Settled",
    "TrainingLoop",
    "ask_model",
    "contents_of",
    "counterfactual",
    "finish_frozen",
    "frozen_stretches",
    "named_observables",
    "perform",
    "rerun",
    "settle",
]
