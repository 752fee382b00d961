"""The corpus as it is shipped: real wheels, real licences. They are fetched by ``make setup``."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradledger.demo.data import DemoData, load_demo_data
from gradledger.demo.manifest import default_cache, read_manifest
from gradledger.demo.sizes import SIZES
from gradledger.policy import load_policy
from gradledger.schema import VERDICTS

pytestmark = pytest.mark.e2e
PROFILES = {"full", "attenuated", "last-layer", "output-only"}
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module", params=list(SIZES))
def data(request: pytest.FixtureRequest) -> DemoData:
    return load_demo_data(request.param, default_cache(ROOT))


def test_the_numbers_are_exact(data: DemoData) -> None:
    assert len(data.admitted) == data.size.num_admitted
    assert len(data) - len(data.admitted) == data.size.num_refused
    assert data.vocab_size == data.size.vocab_size


def test_every_package_takes_part_and_none_dominates(data: DemoData) -> None:
    packages = data.counts["packages"]
    assert set(packages) == {pin.name for pin in read_manifest()}
    assert max(packages.values()) < len(data) / 5


def test_every_verdict_class_profile_and_rule_is_met(data: DemoData) -> None:
    policy = load_policy(data.policy_path)
    assert set(data.counts["verdicts"]) == set(VERDICTS)
    assert set(data.counts["classes"]) == {entry.id for entry in policy.classes}
    assert set(data.counts["profiles"]) == PROFILES
    resting = {t.rule for d in data.decisions for t in d.truths if t.determining}
    late = {"duplicate"} if data.size.name == "tiny" else set()
    assert resting >= {rule.id for rule in policy.rules} - late


def test_evidence_is_as_the_wheels_have_it(data: DemoData) -> None:
    found = dict(zip(data.columns["package"], data.columns["license"], strict=True))
    assert found["attrs"] == "MIT"
    assert found["packaging"] == "Apache-2.0 OR BSD-2-Clause"
    assert found["tqdm"] == "MPL-2.0 AND MIT"
    assert found["codespell"] == "GPL-2.0-only"
    assert found["filelock"] == "Unlicense"
    assert found["ptyprocess"] == "ISC"
    assert found["mpmath"] == found["docutils"] == found["chardet"] == "NOASSERTION"
    verdicts = dict(zip(data.columns["package"], (d.verdict for d in data.decisions), strict=True))
    assert verdicts["codespell"] in {"deny", "quarantine"}
    for decision, package in zip(data.decisions, data.columns["package"], strict=True):
        if package in {"codespell", "docutils", "chardet"}:
            assert decision.verdict != "admit"
