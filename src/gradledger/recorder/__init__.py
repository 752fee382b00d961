"""Recording: joins policy, gradients, updates, states and files during training."""

from gradledger.recorder.record import record
from gradledger.recorder.recorder import Recorder

__all__ = ["Recorder", "record"]
