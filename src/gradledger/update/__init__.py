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
from gradledger.update.adadelta import AdadeltaFamily
from gradledger.update.adafactor import AdafactorFamily
from gradledger.update.adagrad import AdagradFamily
from gradledger.update.adam import AdamFamily
from gradledger.update.adamax import AdamaxFamily
from gradledger.update.bits import same_bits
from gradledger.update.books import GroupLines, worst_verdict
from gradledger.update.compiled import change_norm, entry_weights_of_change
from gradledger.update.family import FAMILIES, Before, Family, find_family, register, supported
from gradledger.update.gap import GapNoise, part_gap
from gradledger.update.lines import TensorLines, clip_factor, measure, measure_untouched
from gradledger.update.lion import LionFamily
from gradledger.update.mixing import Mixing
from gradledger.update.muon import MuonFamily
from gradledger.update.nadam import NAdamFamily
from gradledger.update.passes import Scratch
from gradledger.update.precision import TESTABLE, Precision, precision_of, two_ulp
from gradledger.update.radam import RAdamFamily
from gradledger.update.realised import Realised
from gradledger.update.rmsprop import RMSpropFamily
from gradledger.update.sgd import SgdFamily
from gradledger.update.tensors import line_tensors

__all__ = [
    "FAMILIES",
    "TESTABLE",
    "Account",
    "AdadeltaFamily",
    "AdafactorFamily",
    "AdagradFamily",
    "AdamFamily",
    "AdamaxFamily",
    "Before",
    "Family",
    "GapNoise",
    "GroupLines",
    "LionFamily",
    "Mixing",
    "MuonFamily",
    "NAdamFamily",
    "Precision",
    "RAdamFamily",
    "RMSpropFamily",
    "Realised",
    "Scratch",
    "SgdFamily",
    "TensorLines",
    "change_norm",
    "clip_factor",
    "entry_weights_of_change",
    "find_family",
    "line_tensors",
    "measure",
    "measure_untouched",
    "part_gap",
    "precision_of",
    "register",
    "same_bits",
    "supported",
    "two_ulp",
    "worst_verdict",
]
