"""The demo's own policy: what it decides, case by case."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from gradledger.demo.authority import strict_policy_path
from gradledger.demo.data import decide_files, policy_path
from gradledger.demo.source import SourceFile
from gradledger.policy import Policy, load_policy, resolve_profile
from gradledger.schema import VERDICTS, Decision

MakeFile = Callable[..., SourceFile]
PROFILES = {"full", "attenuated", "last-layer", "output-only"}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
UNKNOWN: dict[str, Any] = {"license": "NOASSERTION", "effective_license": "NOASSERTION"}


def words(text: str) -> dict[str, Any]:
    return UNKNOWN | {"license_ambiguous": True, "license_text": text}


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(policy_path())


def decide_one(policy: Policy, make_file: MakeFile, changes: dict[str, Any]) -> Decision:
    return decide_files(policy, [make_file("m.py", **changes)], NOW)[0]


CASES: list[tuple[dict[str, Any], str, str, str]] = [
    ({"effective_license": "Unlicense"}, "admit", "open-permissive", "full"),
    ({"effective_license": "MIT"}, "admit", "attribution", "full"),
    ({"effective_license": "Apache-2.0 OR BSD-2-Clause"}, "admit", "attribution", "full"),
    ({"effective_license": "GPL-3.0-only OR MIT"}, "admit", "attribution", "full"),
    ({"effective_license": "MPL-2.0"}, "admit", "weak-copyleft", "attenuated"),
    ({"effective_license": "MPL-2.0 AND MIT"}, "admit", "weak-copyleft", "attenuated"),
    (words("BSD"), "admit", "ambiguous-permissive", "last-layer"),
    ({"is_test": True}, "admit", "test-code", "output-only"),
    ({"band": 0.4}, "admit", "attribution", "output-only"),
    ({"effective_license": "MPL-2.0", "band": 1.29}, "admit", "weak-copyleft", "output-only"),
    (words("BSD") | {"band": 0.4}, "admit", "ambiguous-permissive", "output-only"),
    ({"effective_license": "GPL-2.0-only"}, "deny", "strong-copyleft", "none"),
    ({"effective_license": "MIT AND GPL-2.0-only"}, "deny", "strong-copyleft", "none"),
    ({"effective_license": "LicenseRef-Secret"}, "deny", "strong-copyleft", "none"),
    (UNKNOWN | {"vendored": True}, "quarantine", "vendored-unknown", "none"),
    ({"vendored": True, "file_license": "MIT"}, "admit", "attribution", "full"),
    (UNKNOWN, "quarantine", "unknown", "none"),
    ({"effective_license": "No-Such-Thing"}, "quarantine", "unknown", "none"),
    (words("Dual License"), "quarantine", "unknown", "none"),
    (words("LGPL"), "defer", "copyleft-in-words", "none"),
    (words("BSD\nGNU General Public License"), "defer", "copyleft-in-words", "none"),
    ({"band": 4.8}, "quarantine", "attribution", "none"),
    ({"duplicate_of": "q:m.py"}, "quarantine", "attribution", "none"),
    ({"effective_license": "GPL-3.0-only", "band": 6.0}, "deny", "strong-copyleft", "none"),
]


@pytest.mark.parametrize(("changes", "verdict", "content_class", "profile"), CASES)
def test_decisions(
    policy: Policy,
    make_file: MakeFile,
    changes: dict[str, Any],
    verdict: str,
    content_class: str,
    profile: str,
) -> None:
    decision = decide_one(policy, make_file, changes)
    assert (decision.verdict, decision.content_class) == (verdict, content_class), decision.reason
    assert decision.profile == profile


def test_the_cases_reach_everything_that_the_policy_declares(
    policy: Policy, make_file: MakeFile
) -> None:
    decisions = [decide_one(policy, make_file, changes) for changes, *_ in CASES]
    assert {d.verdict for d in decisions} == set(VERDICTS)
    assert {d.content_class for d in decisions} == {c.id for c in policy.classes} | {"unknown"}
    admitted = [d for d in decisions if d.verdict == "admit"]
    assert {d.profile for d in admitted} == PROFILES
    resting = {truth.rule for d in decisions for truth in d.truths if truth.determining}
    assert resting == {rule.id for rule in policy.rules}


@pytest.mark.parametrize(
    "text", ["Proprietary", "BSD\nLicense :: Other/Proprietary License", "free for all"]
)
def test_doubtful_words_never_admit(policy: Policy, make_file: MakeFile, text: str) -> None:
    assert decide_one(policy, make_file, words(text)).verdict != "admit"


@pytest.mark.parametrize("num_layers", [2, 4, 12])
def test_profiles_fit_a_decoder_of_any_depth(policy: Policy, num_layers: int) -> None:
    layers = [f"model.layers.{number}" for number in range(num_layers)]
    blocks = ["model.embed_tokens", *layers, "model.norm", "lm_head"]
    weights = {name: resolve_profile(p, blocks) for name, p in policy.profiles.items()}
    assert weights["full"] == [1.0] * len(blocks)
    assert weights["attenuated"] == [0.25, *[0.5] * (num_layers - 1), 0.75, 1.0, 1.0]
    assert weights["last-layer"] == [0.0, *[0.0] * (num_layers - 1), 1.0, 1.0, 1.0]
    assert weights["output-only"] == [0.0, *[0.0] * num_layers, 1.0, 1.0]
    for values in weights.values():
        assert values == sorted(values), "deeper blocks must not be reached more strongly"


def test_files_with_equal_attributes_share_a_decision(policy: Policy, make_file: MakeFile) -> None:
    same = [make_file("a.py"), make_file("b.py", num_bytes=7), make_file("c.py", band=3.0)]
    decisions = decide_files(policy, same, NOW)
    assert decisions[0] is decisions[1]
    assert decisions[0] is not decisions[2]


@pytest.mark.parametrize(
    ("changes", "old", "new"),
    [
        (words("BSD"), ("admit", "last-layer"), ("quarantine", "none")),
        ({"effective_license": "MPL-2.0"}, ("admit", "attenuated"), ("admit", "last-layer")),
        ({"effective_license": "MIT"}, ("admit", "full"), ("admit", "full")),
        ({"effective_license": "GPL-3.0-only"}, ("deny", "none"), ("deny", "none")),
    ],
)
def test_the_stricter_policy_differs_in_two_things(
    changes: dict[str, Any],
    old: tuple[str, str],
    new: tuple[str, str],
    policy: Policy,
    make_file: MakeFile,
) -> None:
    for document, wanted in ((policy, old), (load_policy(strict_policy_path()), new)):
        decision = decide_one(document, make_file, changes)
        assert (decision.verdict, decision.profile) == wanted
