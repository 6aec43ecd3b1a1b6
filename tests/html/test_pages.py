"""Pages about runs: what they show, in a browser, on a desktop and a phone, light and dark."""

import dataclasses
import json
import re

import pytest

from ardm.html import charts, pages
from ardm.html.collect import collect, paired
from ardm.store.run_directory import Run
from ardm.store.store import Store
from tests.cli.conftest import Here
from tests.html.browser import browse, needs_browser
from tests.runner.invented import new_run

pytestmark = pytest.mark.slow

SEEN = """
<script>
addEventListener("load", () => setTimeout(() => {
  const frame = document.querySelector("iframe");
  const page = frame.contentDocument;
  const cut = [...page.querySelectorAll("h1, h2, p, .tile, .chart, svg.main-svg, img, pre")]
    .filter((e) => e.getBoundingClientRect().right > frame.clientWidth + 1)
    .map((e) => e.tagName + "." + e.className);
  const charts = [...page.querySelectorAll(".chart")].map((e) => e.id);
  const drawn = charts.filter((id) => page.querySelector("#" + id + " svg.main-svg"));
  const back = getComputedStyle(page.body).backgroundColor;
  document.title = JSON.stringify({ cut, charts, drawn, back });
}, 1500));
</script>
"""
"""Looks at the page in the frame: which elements are wider than it, which charts are drawn."""


def page_of(store, *names):
    runs = [collect(Run(Store(store), name)) for name in names]
    return pages.run_page(runs[0]) if len(runs) == 1 else pages.comparison_page(runs)


def figures_of(page):
    found = re.search(r'<script id="figures" type="application/json">(.*?)</script>', page, re.S)
    return json.loads(found.group(1))


def test_the_page_of_a_run_has_its_figures_samples_and_attempts(store):
    page = page_of(store, "killed")
    figures = figures_of(page)
    assert set(figures) == {"steps", "time", "spent"}
    curves = [t["name"] for t in figures["steps"]["data"] if t.get("yaxis") != "y2"]
    assert curves[-2:] == ["valid (EMA)", "test (EMA)"]
    for figure in (figures["steps"], figures["time"]):
        bars = [trace for trace in figure["data"] if trace.get("yaxis") == "y2"]
        assert [bar["name"] for bar in bars] == ["preempted", "completed", "saves"]
        assert [bar["text"][0].partition("<br>")[0] for bar in bars[:2]] == [
            "attempt 1: preempted",
            "attempt 2: completed",
        ]
        assert bars[2]["text"][-1] == "saved step 24"
    assert page.count('<figure class="sample"') == 3
    assert 'id="slider"' in page
    assert "ardm train tiny.yaml --run killed-again" in page
    assert collect(Run(Store(store), "killed")).status["digest"] in page


def test_a_page_needs_no_network(store):
    for page in (page_of(store, "killed"), page_of(store, "killed", "other")):
        own = page.replace(pages.get_plotlyjs(), "")
        assert not re.search(r"(src|href)=\"(?!data:)", own)
        assert "@import" not in own
        assert "url(" not in own


def test_what_comes_from_a_run_is_text_and_no_code(store):
    page = page_of(store, "killed")
    assert "&lt;b&gt;SIGTERM; saved" in page
    assert "<b>SIGTERM" not in page


def test_runs_are_compared_in_pairs(store):
    killed, other = (collect(Run(Store(store), name)) for name in ("killed", "other"))
    difference, error, number = paired(killed, other, "valid")
    assert number == 16
    assert error > 0
    assert paired(killed, killed, "valid")[:2] == (0.0, 0.0)
    page = page_of(store, "killed", "other")
    assert f"{difference:+.3f} ± {error:.3f}" in page
    assert "training.learning_rate" in page
    assert figures_of(page)["together-1"]["data"][0]["name"] == "killed"


def test_runs_of_different_units_have_a_chart_each(store, tmp_path):
    text = {"dataset": "text", "source": "bundled"}
    other = new_run(tmp_path, data=text, model={"net": {"kind": "transformer"}})
    killed = collect(Run(Store(store), "killed"))
    figures = figures_of(pages.comparison_page([killed, collect(other), killed]))
    units = [figure["layout"]["yaxis"]["title"]["text"] for figure in figures.values()]
    assert units == ["NELBO on valid (bits/dim)", "NELBO on valid (bits/char)"]
    assert [len(figure["data"]) for figure in figures.values()] == [2, 1]


def test_of_many_saves_some_are_marked_and_the_page_says_so(store):
    killed = collect(Run(Store(store), "killed"))
    many = dataclasses.replace(killed, saves=[(float(n), n) for n in range(1, 1402)])
    (saves,) = [t for t in charts.over_steps(many)["data"] if t["name"].startswith("saves")]
    assert saves["name"] == "saves (one of 3 is shown)"
    assert saves["x"][-1] == 1401
    assert len(saves["x"]) <= charts.MOST_SAVES


def test_a_run_that_has_not_begun_has_a_page(tmp_path):
    run = new_run(tmp_path)
    page = pages.run_page(collect(run))
    assert "no attempt has begun" in page
    assert figures_of(page) == {}


def test_torn_and_strange_files_are_left_out(store, tmp_path):
    (tmp_path / "runs").mkdir()
    copy = Store(str(tmp_path / "runs"))
    Store(store).fetch_tree("killed", tmp_path / "runs" / "killed")
    run, original = Run(copy, "killed"), collect(Run(Store(store), "killed"))
    newest = "killed/evaluations/00000024-valid.npz"
    whole = copy.read(newest)
    for torn in (b"", whole[: len(whole) // 2], b"PK\x03\x04" + bytes(90), b"text"):
        copy.write(newest, torn)
        assert paired(collect(run), original, "valid") is None
    copy.write("killed/policies/notes.json", b"{}")
    copy.write("killed/policies/000001-8.json", b'{"policies": [3], "L": ["a"]}')
    copy.write("killed/samples/readme.txt", b"mine")
    copy.write("killed/plots/broken.png", b"")
    found = collect(run)
    assert (found.losses, found.policies) == (None, [])
    assert [sample.step for sample in found.samples] == [8, 16, 24]
    pages.run_page(found)


def test_the_command_writes_pages(store, tmp_path):
    here = Here(store)
    here("report", "killed", "--html", str(tmp_path / "one.html"))
    assert "<title>killed</title>" in (tmp_path / "one.html").read_text()
    here("report", "killed", "other", "--html", str(tmp_path / "two.html"))
    assert "Paired differences" in (tmp_path / "two.html").read_text()
    assert "give --html FILE" in here("report", "killed", "other", code=2).stderr
    here("report", "killed", "--html", str(tmp_path / "x.pdf"), code=2)
    said = here("report", "killed", "--html", str(tmp_path / "x.html"), "--json", code=2).stderr
    assert "give one of them" in said
    price = ("--on-demand-price", "2.5")
    here("report", "killed", "--html", str(tmp_path / "one.html"), *price)
    assert " on demand</span>" in (tmp_path / "one.html").read_text()
    here("report", "killed", "other", "--html", str(tmp_path / "x.html"), *price, code=2)
    here("report", "none", "--html", str(tmp_path / "x.html"), code=4)
    assert not (tmp_path / "x.html").exists()


@needs_browser
@pytest.mark.parametrize(
    ("names", "width", "dark"),
    [
        (("killed",), 390, True),
        (("killed",), 1280, False),
        (("killed", "other"), 390, False),
        (("killed", "other"), 1280, True),
    ],
)
def test_a_browser_shows_all_of_it(store, tmp_path, names, width, dark):
    (tmp_path / "page.html").write_text(page_of(store, *names))
    # A window has a least width; a frame has none.
    frame = f'<iframe src="page.html" style="width:{width}px;height:2000px;border:0"></iframe>'
    (tmp_path / "frame.html").write_text(f"<!doctype html>{frame}{SEEN}")
    said, dom = browse(
        f"file://{tmp_path}/frame.html", "--allow-file-access-from-files", *dark_mode(dark)
    )
    seen = json.loads(re.search("<title>(.*?)</title>", dom).group(1).replace("&quot;", '"'))
    assert seen["cut"] == []
    assert seen["charts"] == seen["drawn"] != []
    assert seen["back"] == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")
    assert "CONSOLE" not in said


def dark_mode(dark):
    return ["--blink-settings=preferredColorScheme=0"] if dark else []
