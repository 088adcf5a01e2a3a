"""What the strict build does not look at: navigation, pictures, links to files, links of the pages outside of docs/."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CONFIG = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
PAGES = sorted(DOCS.rglob("*.md"))
OUTSIDE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def leaves(part):
    """The pages of the navigation."""
    if isinstance(part, str):
        return [part]
    return [page for one in (part.values() if isinstance(part, dict) else part) for page in leaves(one)]


def links(page):
    """What a page links to and shows, without code; `#` alone is the page itself."""
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    inline = re.findall(r"\]\(([^)\s]+)", text) + re.findall(r"(?:href|src)=\"([^\"]+)\"", text)
    return [link for link in inline if not link.startswith(("http://", "https://", "mailto:"))]


def anchors(page):
    """The anchors of a page's headings, as the site and code hosts name them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


def test_the_navigation_has_every_page_once_and_no_other():
    assert sorted(leaves(CONFIG["nav"])) == [str(page.relative_to(DOCS)) for page in PAGES]


@pytest.mark.parametrize("page", [*PAGES, *OUTSIDE], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_lead_to_what_is_there(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_pages_of_the_site_link_to_nothing_outside_of_it(page):
    """A file of the repository is named in code: `cluster/`."""
    for link in links(page):
        if path := link.partition("#")[0]:
            target = (page.parent / path).resolve()
            assert target.is_relative_to(DOCS), link
            assert target.is_file(), link


def test_no_page_asks_another_host_for_anything():
    assert CONFIG["theme"]["font"] is False
    assert "libs" in (DOCS / "theme/main.html").read_text()
    for page in [*PAGES, *(DOCS / "theme").rglob("*.html"), *(DOCS / "theme").rglob("*.css")]:
        assert not re.search(r"<(script|link|img|iframe)[^>]+https?://|!\[[^]]*\]\(https?://|url\(", page.read_text())
