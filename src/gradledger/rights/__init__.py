"""Licences: what expressions say and the evidence for them; and what was erased for good."""

from gradledger.rights.erased import (
    ERASED_NAME,
    NAMED_BY,
    ErasedList,
    Erasure,
    add_erasure,
    erased_list,
)
from gradledger.rights.header import header_license
from gradledger.rights.metadata import PackageLicense, package_license
from gradledger.rights.spdx import NOASSERTION, normalise, satisfies

__all__ = [
    "ERASED_NAME",
    "NAMED_BY",
    "NOASSERTION",
    "ErasedList",
    "Erasure",
    "PackageLicense",
    "add_erasure",
    "erased_list",
    "header_license",
    "normalise",
    "package_license",
    "satisfies",
]
