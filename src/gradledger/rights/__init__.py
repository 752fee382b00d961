"""Licences: what expressions say and the evidence for them; and what was erased for good."""

from gradledger.rights.erased import (
    ERASED_NAME,
    ERASED_VARIABLE,
    NAMED_BY,
    ErasedList,
    ErasedLists,
    Erasure,
    add_erasure,
    erased_list,
    known_erasures,
    named_lists,
)
from gradledger.rights.header import header_license
from gradledger.rights.metadata import PackageLicense, package_license
from gradledger.rights.spdx import NOASSERTION, normalise, satisfies

__all__ = [
    "ERASED_NAME",
    "ERASED_VARIABLE",
    "NAMED_BY",
    "NOASSERTION",
    "ErasedList",
    "ErasedLists",
    "Erasure",
    "PackageLicense",
    "add_erasure",
    "erased_list",
    "header_license",
    "known_erasures",
    "named_lists",
    "normalise",
    "package_license",
    "satisfies",
]
