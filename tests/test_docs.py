"""Documents: what they name exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    named = re.findall(r"`((?:ardm|tests|jobs|docs|scripts|benchmarks)/[\w/.-]+\.\w+)`", text)
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)\)", text)
    missing = [name for name in named if not (ROOT / name).exists()]
    missing += [link for link in linked if not (page.parent / link).exists()]
    assert missing == []


def test_the_life_of_a_run_takes_nine_files() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    life = text.partition("## The life of a run")[2].partition("## ")[0]
    assert len(re.findall(r"^\d\. ", life, re.MULTILINE)) == 9


def test_the_tree_in_the_readme_has_a_line_for_every_package() -> None:
    text = (ROOT / "README.md").read_text()
    tree = text.partition("\nardm/\n")[2].partition("```")[0]
    shown = re.findall(r"^  (\w+)/ +\S", tree, re.MULTILINE)
    packages = [path.parent.name for path in (ROOT / "ardm").glob("*/__init__.py")]
    assert sorted(shown) == sorted(packages)
