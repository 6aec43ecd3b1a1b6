"""The commands on runs of texts."""

import pytest
from PIL import Image

from ardm.job.spec import parse
from ardm.runner.attempt import run_attempt
from ardm.runner.context import Context, Notice
from ardm.training.group import Alone
from tests.cli.conftest import Here
from tests.runner.setting import opened
from tests.runner.test_texts import JOB

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Runs of all objectives, and a directory to work in."""
    store = str(tmp_path_factory.mktemp("texts") / "runs")
    for objective in ("oa", "autoregressive", "permuted"):
        spec = parse(JOB, "text.yaml", [f"model.objective={objective}"])
        run = opened(store, objective, spec)
        assert run_attempt(run, spec, Context(Alone(), Notice())).outcome == "completed"
    return Here(store)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_texts_are_printed_and_nothing_else_is_on_stdout(texts):
    done = texts("sample", "oa", "--num", "1", "--prompt", "It is", "--budget", "3")
    assert done.stdout.startswith("It is")
    assert "1 text" in done.stderr
    assert "3 network calls (optimal)" in done.stderr
    several = texts("sample", "oa", "--budget", "3").stdout
    assert [line for line in several.splitlines() if line.startswith("--- ")] == [
        f"--- {number} ---" for number in (1, 2, 3, 4)
    ]


def test_a_run_that_is_complete_is_said_to_draw_texts(texts, tmp_path):
    (tmp_path / "text.yaml").write_text(JOB)
    said = texts("submit", "text.yaml", "--run", "oa").stderr
    assert "run oa is already complete; `ardm sample oa` draws texts from it" in said


def test_json_gives_the_texts_with_their_origin(texts):
    found = texts.json("sample", "oa", "--num", "2", "--infill", "It is ___ truth", "--budget", "2")
    assert (found["run"], found["data"], found["num"], found["length"]) == ("oa", "text", 2, 15)
    assert len(found["texts"]) == 2
    for text in found["texts"]:
        assert text.startswith("It is ")
        assert text.endswith(" truth")
    again = texts.json("sample", "oa", "--num", "2", "--infill", "It is ___ truth", "--budget", "2")
    assert again["texts"] == found["texts"]


def test_a_text_and_its_chain_are_written_to_files(texts):
    texts("sample", "oa", "--num", "2", "--length", "8", "--out", "t.txt", "--chain", "c.txt")
    with open("t.txt") as file:  # noqa: PTH123
        assert file.read().startswith("--- 1 ---\n")
    with open("c.txt") as file:  # noqa: PTH123
        chain = file.read()
    assert chain.count("=== call ") == 9
    assert "=== call 0 ===\n--- 1 ---\n________\n" in chain
    texts("sample", "oa", "--num", "1", "--budget", "4", "--chain", "c.gif")
    assert Image.open("c.gif").n_frames == 5


@pytest.mark.parametrize("run", ["autoregressive", "permuted"])
def test_the_baselines_generate_one_character_per_call(texts, run):
    found = texts.json("sample", run, "--num", "1", "--prompt", "It is")
    assert found["steps"] == 11
    assert found["texts"][0].startswith("It is")
    message = texts("sample", run, "--budget", "5", code=2).stderr
    assert f"the objective {run} generates one dimension per call" in " ".join(message.split())
    assert "there is no policy to choose" in " ".join(texts("policy", run, code=2).stderr.split())


def test_only_models_of_any_order_fill_gaps_and_have_ensembles(texts):
    filled = texts.json("sample", "permuted", "--num", "1", "--infill", "It __ a truth")
    assert filled["texts"][0].endswith(" a truth")
    message = texts("sample", "autoregressive", "--infill", "It __ a truth", code=2).stderr
    assert "an autoregressive model generates in the natural order" in " ".join(message.split())
    options = ("--exact", "--images", "2", "--orders", "2")
    message = texts("evaluate", "autoregressive", *options, code=2).stderr
    assert "an autoregressive model has only the natural order" in " ".join(message.split())
    found = texts.json("evaluate", "permuted", *options)
    assert len(found["orders"]) == 2
    assert found["calls"] == 1


def test_estimates_have_the_unit_of_texts(texts):
    done = texts("evaluate", "oa", "--images", "8")
    assert "bits/char" in done.stderr
    assert "(8 texts, 1 pass)" in done.stderr
    assert "bits/char" in texts("status", "oa").stdout
    compared = texts("compare", "oa", "permuted", "autoregressive", "--images", "16").stdout
    assert "bits/char" in compared
    assert "16 valid texts in pairs" in " ".join(compared.split())
    assert "bits/char" in texts("policy", "oa", "--budgets", "4", "--images", "16").stdout


def test_the_estimate_of_a_baseline_is_its_exact_likelihood(texts):
    estimate = texts.json("evaluate", "autoregressive", "--images", "6")
    exact = texts.json("evaluate", "autoregressive", "--images", "6", "--exact")
    assert estimate["nelbo_nats"] == pytest.approx(exact["mean"]["nll_nats"], rel=1e-5)


def test_texts_of_the_split_are_completed_from_a_part(texts):
    options = ("--images", "1", "--completions", "2", "--keep", "centre", "--budget", "2")
    lines = texts("inpaint", "oa", *options).stdout
    assert "--- original ---" in lines
    assert "--- given ---\n____" in lines
    found = texts.json("inpaint", "oa", *options)
    assert (found["characters_given"], len(found["texts"][0])) == (8, 2)
    assert "complete a text of your own with" in texts(
        "inpaint", "oa", "--image", "x.png", code=2
    ).stderr.replace("\n", " ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--length", "99"), "sequences of at most 16 characters"),
        (("--prompt", "x" * 16), "expected less than the 16 characters of the text, received 16"),
        (("--infill", "no blank"), "expected a _ for each character to generate, found none"),
        (("--out", "t.png"), "--out t.png: expected a file name that ends in .txt"),
        (("--order", "sideways"), "choose from random, raster, centre-out"),
    ],
)
def test_options_that_do_not_fit_are_refused(texts, options, message):
    assert message in " ".join(texts("sample", "oa", *options, code=2).stderr.split())


def test_what_belongs_to_texts_is_refused_for_images(here):
    for option in ("--prompt", "--infill"):
        message = here("sample", "trained", option, "a_", code=2).stderr
        assert f"{option}: the model generates images, no texts" in " ".join(message.split())
    assert "ends in .png" in here("sample", "trained", "--out", "x.txt", code=2).stderr
