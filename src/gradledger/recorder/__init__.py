"""Recording: joins policy, gradients, updates, states and files during training."""

from gradledger.recorder.record import record
from gradledger.recorder.recorder import Recorder
from gradledger.recorder.scalars import book_scalars

__all__ = ["Recorder", "book_scalars", "record"]
