"""Pictures of answers: one file per question, registered by the question's name.

A new picture is one file with a function under ``@picture("QUESTION")``, imported below.
"""

from gradledger.query.plot import balance, bars, heat, over_time, steps, waterfall
from gradledger.query.plot.canvas import Picture, no_picture
from gradledger.query.plot.registry import draw, picture, pictured

__all__ = [
    "Picture",
    "balance",
    "bars",
    "draw",
    "heat",
    "no_picture",
    "over_time",
    "picture",
    "pictured",
    "steps",
    "waterfall",
]
