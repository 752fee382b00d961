"""Names of licences as packages write them, where one name means one SPDX licence.

A name that fits several licences ("BSD", "GPL", "Public Domain") is left out on purpose: guessing
would turn doubt into permission. So are the classifiers that PEP 639 calls ambiguous ("Apache
Software License", "GPLv3"). "GPLv3" in a License field grants at least version 3, so ``-only`` is
the part of it that is certain.
"""

from __future__ import annotations

from typing import Final

__all__ = ["CLASSIFIERS", "SPELLINGS", "UMBRELLAS"]

_GNU: Final = {
    f"{short}-{version}.0": (f"{short.lower()}v{version}", short.lower(), version)
    for short, versions in (("GPL", "23"), ("LGPL", "3"), ("AGPL", "3"))
    for version in versions
}


def _gnu_spellings() -> dict[str, str]:
    spellings: dict[str, str] = {}
    for base, (joined, short, version) in _GNU.items():
        for name in (joined, f"{short} v{version}", f"{short} {version}", f"{short}{version}"):
            spellings[name] = f"{base}-only"
            spellings[f"{name}+"] = f"{base}-or-later"
            spellings[f"{name} or later"] = f"{base}-or-later"
    return spellings


#: License field in lower case with single spaces -> SPDX expression.
SPELLINGS: Final[dict[str, str]] = {
    **dict.fromkeys(
        (
            "mit license",
            "the mit license",
            "the mit license (mit)",
            "mit license (mit)",
            "expat",
            "mit licence",
            "expat license",
            "license :: osi approved :: mit license",
        ),
        "MIT",
    ),
    **dict.fromkeys(
        (
            "apache 2",
            "apache 2.0",
            "apache2",
            "apache2.0",
            "apache v2",
            "apache v2.0",
            "apache-2",
            "apache license 2.0",
            "apache license v2.0",
            "apache license, version 2.0",
            "asl 2.0",
            "apache license version 2.0",
            "apache software license 2.0",
            "apache 2.0 license",
            "apache-2.0 license",
            "apache license 2",
            "apache software license, version 2.0",
        ),
        "Apache-2.0",
    ),
    **dict.fromkeys(
        (
            "bsd 3-clause",
            "3-clause bsd",
            "bsd 3 clause",
            "bsd3",
            "new bsd",
            "new bsd license",
            "modified bsd",
            "modified bsd license",
            "bsd 3-clause license",
            "3-clause bsd license",
            "bsd-3-clause license",
            "bsd-3",
            "bsd (3-clause)",
            "bsd license (3-clause)",
            "the bsd 3-clause license",
        ),
        "BSD-3-Clause",
    ),
    **dict.fromkeys(
        (
            "bsd 2-clause",
            "2-clause bsd",
            "bsd 2 clause",
            "bsd2",
            "simplified bsd",
            "bsd-2",
            "simplified bsd license",
            "bsd 2-clause license",
            "2-clause bsd license",
            "bsd-2-clause license",
            "bsd (2-clause)",
        ),
        "BSD-2-Clause",
    ),
    **dict.fromkeys(("isc license", "iscl", "isc license (iscl)", "the isc license"), "ISC"),
    **dict.fromkeys(
        (
            "mpl 2.0",
            "mpl2",
            "mpl v2.0",
            "mplv2",
            "mplv2.0",
            "mpl 2",
            "mozilla public license 2.0",
            "mozilla public license, version 2.0",
            "mozilla public license 2.0 (mpl 2.0)",
        ),
        "MPL-2.0",
    ),
    **dict.fromkeys(("psf-2.0 license", "psf license 2.0", "psf license version 2"), "PSF-2.0"),
    **dict.fromkeys(("the unlicense", "the unlicense (unlicense)"), "Unlicense"),
    **dict.fromkeys(("zpl 2.1", "zope public license 2.1", "zpl v2.1"), "ZPL-2.1"),
    **dict.fromkeys(("cc0", "cc0 1.0", "cc0 1.0 universal"), "CC0-1.0"),
    **dict.fromkeys(("zlib license", "zlib/libpng license"), "Zlib"),
    **dict.fromkeys(("lgplv2.1", "lgpl 2.1", "lgpl v2.1"), "LGPL-2.1-only"),
    **dict.fromkeys(("lgplv2.1+", "lgpl 2.1+", "lgpl v2.1+"), "LGPL-2.1-or-later"),
    **dict.fromkeys(("proprietary", "proprietary license"), "LicenseRef-Proprietary"),
    **_gnu_spellings(),
}

_OSI: Final = "License :: OSI Approved"

#: Classifiers that only head a group and name no licence.
UMBRELLAS: Final = frozenset({_OSI})

#: Trove classifier -> SPDX expression.
CLASSIFIERS: Final[dict[str, str]] = {
    "License :: CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "License :: Other/Proprietary License": "LicenseRef-Proprietary",
    **{
        f"{_OSI} :: {name}": expression
        for name, expression in {
            "Blue Oak Model License (BlueOak-1.0.0)": "BlueOak-1.0.0",
            "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
            "Eclipse Public License 1.0 (EPL-1.0)": "EPL-1.0",
            "Eclipse Public License 2.0 (EPL-2.0)": "EPL-2.0",
            "European Union Public Licence 1.1 (EUPL 1.1)": "EUPL-1.1",
            "European Union Public Licence 1.2 (EUPL 1.2)": "EUPL-1.2",
            "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
            "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
            "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
            "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
            "Historical Permission Notice and Disclaimer (HPND)": "HPND",
            "ISC License (ISCL)": "ISC",
            "MIT License": "MIT",
            "MIT No Attribution License (MIT-0)": "MIT-0",
            "Mozilla Public License 1.0 (MPL)": "MPL-1.0",
            "Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
            "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
            "Mulan Permissive Software License v2 (MulanPSL-2.0)": "MulanPSL-2.0",
            "Open Software License 3.0 (OSL-3.0)": "OSL-3.0",
            "PostgreSQL License": "PostgreSQL",
            "Python Software Foundation License": "PSF-2.0",
            "SIL Open Font License 1.1 (OFL-1.1)": "OFL-1.1",
            "The Unlicense (Unlicense)": "Unlicense",
            "Universal Permissive License (UPL)": "UPL-1.0",
            "University of Illinois/NCSA Open Source License": "NCSA",
            "W3C License": "W3C",
            "Zero-Clause BSD (0BSD)": "0BSD",
            "zlib/libpng License": "Zlib",
        }.items()
    },
}
