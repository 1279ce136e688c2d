"""The documents hold together: links resolve, decisions are dated and listed, every refusal has its page."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from connectors.kit.runtime.errors import ErrorKind

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
DECISIONS = sorted(p for p in (DOCS / "adr").glob("*.md") if p.name != "README.md")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as the usual renderers make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} → {target}"
        assert file.is_relative_to(ROOT), f"{page.name} → {target}"
        if anchor:
            assert anchor in anchors(file), f"{page.name} → {target}"


def test_every_page_is_listed() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    missing = [p.name for p in DOCS.glob("*.md") if p.name != "README.md" and f"({p.name})" not in index]
    assert missing == []


def test_decisions_are_numbered_dated_and_listed() -> None:
    listed = (DOCS / "adr" / "README.md").read_text("utf-8")
    assert len(DECISIONS) >= 7
    for number, page in enumerate(DECISIONS, start=1):
        assert re.fullmatch(rf"{number:04}-[a-z0-9]+(-[a-z0-9]+)*\.md", page.name)
        text = page.read_text("utf-8")
        title = re.match(rf"# {number:04}\. (.+)\n\nDate: \d{{4}}-\d{{2}}-\d{{2}} · Status: [a-z]", text)
        assert title, page.name
        assert f"[{number:04}]({page.name}) | {title.group(1)} |" in listed
        assert re.findall(r"^## (\w+)", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]


@pytest.mark.parametrize("kind", ErrorKind, ids=lambda k: k.value)
def test_every_refusal_has_its_page(kind: ErrorKind) -> None:
    page = DOCS / "problems" / f"{kind.value}.md"
    assert page.is_file(), f"docs/problems/{kind.value}.md"
    assert len(page.read_text("utf-8").split()) >= 15, "a page that explains nothing"


def test_no_problem_page_without_a_refusal() -> None:
    pages = {p.stem for p in (DOCS / "problems").glob("*.md")} - {"README", "index"}
    assert pages <= {kind.value for kind in ErrorKind}


def test_licence_is_the_true_text() -> None:
    """The words of the EUPL-1.2, English, as SPDX publishes them: line breaks apart, not one differs."""
    words = re.findall(r"\w+", (ROOT / "LICENSE").read_text("utf-8"))
    assert len(words) == 2239
    assert (
        hashlib.sha256(" ".join(words).encode()).hexdigest()
        == "8a14e695861d7e6dc2158614896f2b9963941d46e4ed3c986639b51e9337294a"
    )
