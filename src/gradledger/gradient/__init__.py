"""Per-example gradients: what each visit asks of each parameter tensor.

One file per layer kind, joined by the registry in ``kinds``; forms hold the gradients, ``measure``
takes norms and inner products, ``capture`` collects them during a step.
"""

from gradledger.gradient.capture import Capture, Use
from gradledger.gradient.coupling import coupled_modules
from gradledger.gradient.form import Form
from gradledger.gradient.kind import Call, LayerKind
from gradledger.gradient.kinds import GENERIC, KINDS, find_kind
from gradledger.gradient.measure import Measured, measure
from gradledger.gradient.noise import summation_noise
from gradledger.gradient.ownership import put_tensor, row_axis
from gradledger.gradient.unit import Survey, Unit, matching, survey

__all__ = [
    "GENERIC",
    "KINDS",
    "Call",
    "Capture",
    "Form",
    "LayerKind",
    "Measured",
    "Survey",
    "Unit",
    "Use",
    "coupled_modules",
    "find_kind",
    "matching",
    "measure",
    "put_tensor",
    "row_axis",
    "summation_noise",
    "survey",
]
