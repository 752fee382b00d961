"""Licences: what expressions say, and the evidence for them in packages and files."""

from gradledger.rights.header import header_license
from gradledger.rights.metadata import PackageLicense, package_license
from gradledger.rights.spdx import NOASSERTION, normalise, satisfies

__all__ = [
    "NOASSERTION",
    "PackageLicense",
    "header_license",
    "normalise",
    "package_license",
    "satisfies",
]
