"""Numbers that stand in several files and must be the same."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_deployments_and_their_guide_name_the_pinned_prefect(pins: dict[str, str]) -> None:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    guide = (ROOT / "deploy" / "kubernetes" / "README.md").read_text()

    assert deployments["prefect-version"] == pins["prefect"]
    assert set(re.findall(r"Prefect (\d+\.\d+\.\d+)", guide)) == {pins["prefect"]}
