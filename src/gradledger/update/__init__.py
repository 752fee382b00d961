"""Room ``update``: what the optimizer made of the gradient.

A ``Family`` reads the realised law of one step from the optimizer's state; ``measure`` parts the
realised change of one tensor into the lines of the books; ``GroupLines`` adds tensors up.

    family = find_family(optimizer)
    family.check(optimizer)
    account = family.open_account(optimizer, parameter, param_group)      # once, then per step:
    before = family.before(optimizer, parameter, param_group)
    optimizer.step()
    realised = family.after(before, optimizer, parameter)
    lines = measure(realised, account, theta_before=..., theta_after=..., g_raw=...,
                    g_used=before.gradient, captured=...)
"""

from gradledger.update.account import Account
from gradledger.update.adam import AdamFamily
from gradledger.update.books import GroupLines, worst_verdict
from gradledger.update.family import FAMILIES, Before, Family, find_family, register, supported
from gradledger.update.gap import GapNoise, part_gap
from gradledger.update.lines import TensorLines, clip_factor, measure, measure_untouched
from gradledger.update.passes import Scratch
from gradledger.update.precision import TESTABLE, Precision, precision_of
from gradledger.update.realised import Realised
from gradledger.update.sgd import SgdFamily
from gradledger.update.tensors import line_tensors

__all__ = [
    "FAMILIES",
    "TESTABLE",
    "Account",
    "AdamFamily",
    "Before",
    "Family",
    "GapNoise",
    "GroupLines",
    "Precision",
    "Realised",
    "Scratch",
    "SgdFamily",
    "TensorLines",
    "clip_factor",
    "find_family",
    "line_tensors",
    "measure",
    "measure_untouched",
    "part_gap",
    "precision_of",
    "register",
    "supported",
    "worst_verdict",
]
