"""report.html: complete, escaped, readable in a browser, and nothing but published figures."""

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gnn_trainer.report.material import Material
from gnn_trainer.report.page import report_markdown, report_page
from gnn_trainer.report.pictures import drawings
from gnn_trainer.report.sections import sections_of
from tests.report.conftest import HOSTILE

PICTURES = {
    *("skill", "periods", "graph", "slices", "money"),
    *("sureness", "importance", "learning", "data"),
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PROBE = """
<script>
addEventListener("load", () => {
  const seen = [...document.querySelectorAll("figure svg")].filter(
    (svg) => svg.getBoundingClientRect().height > 50 && svg.querySelector("path"));
  document.body.dataset.pictures = seen.length;
  document.body.dataset.requests = performance.getEntriesByType("resource").length;
});
</script>
"""


class Reader(HTMLParser):
    """Ids, references and tags of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.addresses: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "xlink:href", "data", "action"):
                self.addresses.add(value or "")


def test_every_section_has_its_picture(page: str, material: Material) -> None:
    assert {s.picture for s in sections_of(material) if s.picture} == PICTURES
    assert set(drawings(material)) == PICTURES
    assert page.count("<svg") == len(PICTURES)


def test_the_page_needs_nothing_else(page: str) -> None:
    found = Reader(page)
    assert found.tags.isdisjoint({"script", "link", "img", "iframe", "object", "base"})
    assert all(address.startswith("#") for address in found.addresses)
    assert {address.removeprefix("#") for address in found.addresses} <= set(found.ids)
    assert len(found.ids) == len(set(found.ids))
    assert not re.search(r"//|@import|url\((?!#)", page.split("</style>")[0])
    assert "://" not in page


def test_names_from_outside_are_text(page: str, material: Material) -> None:
    assert "<script>" not in page
    assert "A$B$&lt;script&gt;alert(1)&lt;/script&gt;|" in page
    assert "A$B$<script>" in HOSTILE
    assert "A$B$<script>alert(1)</script>\\|" in report_markdown(material)


def test_the_verdict_comes_first(page: str, material: Material) -> None:
    assert material.report is not None
    assert page.index("NOT PROMOTED") < page.index("<svg")
    refused = [check for check in material.report.verdict.checks if not check.passed]
    assert page.count('<td class="FAILED">') >= len(refused) > 0


def test_an_interrupted_training_has_a_page_as_well(material: Material) -> None:
    page = report_page(replace(material, report=None, exhibits=None)).decode()
    assert "INTERRUPTED" in page
    assert page.count("<svg") == 2  # learning and data


def test_the_same_material_gives_the_same_bytes(page: str, material: Material) -> None:
    assert report_page(material).decode() == page


def test_markdown_has_the_tables(material: Material) -> None:
    text = report_markdown(material)
    assert text.startswith(f"# {material.title}: NOT PROMOTED")
    for section in sections_of(material):
        assert f"## {section.title}" in text


def test_a_browser_shows_it(page: str, tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    policy = "style-src 'unsafe-inline'"
    probed = tmp_path / "report.html"
    probed.write_text(page.replace(policy, f"{policy}; script-src 'unsafe-inline'") + PROBE)
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            *("--enable-logging=stderr", "--v=0", "--disable-background-networking"),
            *(f"--user-data-dir={tmp_path / 'profile'}", probed.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    assert f'data-pictures="{len(PICTURES)}"' in done.stdout
    assert 'data-requests="0"' in done.stdout
    assert "CONSOLE" not in done.stderr, done.stderr
