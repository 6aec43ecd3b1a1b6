"""Documents: what they name and link exists, and their commands work."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
import typer
from PIL import Image
from typer.testing import CliRunner

import ardm
from ardm.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]

SIDE = 12
TINY = """
job: tiny
data: {dataset: images, source: files, path: noise}
model: {net: {patch: 4, channels: 4, multipliers: [1], blocks: 1, attention: [], groups: 2}}
training: {steps: 8, batch_size: 4, grad_shards: 2, warmup: 2}
evaluation: {every: 1000, images: 8, final_images: 8, samples: 4, sample_steps: 8}
"""

TRAINED = "<!-- trained: a test runs these -->\n"

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def commands(text: str) -> list[list[str]]:
    """The words of each command in the console blocks of a text, without comments."""
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    lines = re.findall(r"^\$ (.*)$", "\n".join(blocks), re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


@each_page
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    pattern = r"`((?:ardm|tests|jobs|docs|scripts|benchmarks|notebooks)/[\w/.-]+\.\w+)`"
    named = re.findall(pattern, text)
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    missing = [name for name in named if not (ROOT / name).exists()]
    missing += [link for link in linked if not (page.parent / link).exists()]
    assert missing == []


@each_page
def test_every_heading_that_a_page_links_exists(page: Path) -> None:
    for file, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text()):
        target = (page.parent / file if file else page).read_text()
        headings = re.findall(r"^#+ (.*)$", target, re.MULTILINE)
        known = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}
        assert anchor in known, f"{file}#{anchor}"


EXTERNAL = sorted({link for p in PAGES for link in re.findall(r"\]\((http[^)]+)\)", p.read_text())})


@pytest.mark.skipif("ARDM_TEST_LINKS" not in os.environ, reason="set ARDM_TEST_LINKS=1 (network)")
@pytest.mark.parametrize("link", EXTERNAL)
def test_every_page_elsewhere_that_a_page_links_is_there(link: str) -> None:
    browser = {"User-Agent": "Mozilla/5.0"}  # some sites refuse programs
    answer = requests.get(link, headers=browser, timeout=30, stream=True)
    assert answer.ok, f"{link}: {answer.status_code}"


def test_links_to_pages_elsewhere_are_encrypted() -> None:
    assert [link for link in EXTERNAL if not link.startswith("https://")] == []


@each_page
def test_every_command_of_a_page_is_understood(page: Path) -> None:
    for words in commands(page.read_text()):
        program, *arguments = words
        if program == "make":
            subprocess.run(["make", "-n", *arguments], cwd=ROOT, check=True, timeout=60)
        elif program in ("ardm", ".venv/bin/ardm"):
            COMMANDS[arguments[0]].make_context(arguments[0], arguments[1:])
        elif program == ".venv/bin/python":
            assert (ROOT / arguments[0]).is_file(), words
        else:
            assert shutil.which(program), words


@pytest.fixture
def trained(tmp_path: Path) -> Iterator[Path]:
    """A folder with runs of our smallest job, and pictures for what is done with a model."""
    before = Path.cwd()
    os.chdir(tmp_path)
    random = np.random.default_rng(0)
    Path("noise").mkdir()
    for number in range(200):
        pixels = random.integers(0, 256, (SIDE, SIDE), np.uint8)
        Image.fromarray(pixels).save(f"noise/{number:03d}.png")
    for name, number in (("a", 0), ("b", 1), ("x", 2)):
        shutil.copy(f"noise/{number:03d}.png", f"{name}.png")
    Path("tiny.yaml").write_text(TINY)
    for name in ("hello", "other"):
        run = ardm.train(ardm.load_job("tiny.yaml"), run=name, store="runs")
    run.pull("pulled/hello")
    Image.fromarray(np.tri(SIDE, dtype=np.uint8) * 255).save("m.png")
    yield tmp_path
    os.chdir(before)


@pytest.mark.slow
def test_the_commands_and_the_python_on_a_trained_model_work(trained: Path) -> None:
    texts = [page.read_text() for page in PAGES]
    blocks = [block for text in texts for block in text.split(TRAINED)[1:]]
    lines = [
        words for block in blocks for words in commands(block.partition("\n```\n")[0] + "\n```")
    ]
    assert len(lines) > 10
    for words in lines:
        arguments = ["hello" if w == "RUN" else "other" if w == "OTHER" else w for w in words[1:]]
        done = CliRunner().invoke(app, arguments, env={"ARDM_STORE": "runs"})
        assert done.exit_code == 0, f"{words}:\n{done.output}"
    for page, text in zip(PAGES, texts, strict=True):
        for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            if "/content/drive" not in code:
                small = re.sub(r"jobs/\w+", "tiny", code).replace("=1000", "=10")
                exec(compile(small, str(page), "exec"), {})


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_the_life_of_a_run_takes_nine_files() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    life = text.partition("## The life of a run")[2].partition("## ")[0]
    assert len(re.findall(r"^\d\. ", life, re.MULTILINE)) == 9


def test_the_tree_has_a_line_for_every_package() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    tree = text.partition("\nardm/\n")[2].partition("```")[0]
    shown = re.findall(r"^  (\w+)/ +\S", tree, re.MULTILINE)
    packages = [path.parent.name for path in (ROOT / "ardm").glob("*/__init__.py")]
    assert sorted(shown) == sorted(packages)
