"""Exported models: used in an environment without this package, and as the package uses them."""

import json
import os
import subprocess
import sys
import wave
from pathlib import Path

import jax
import numpy as np
import pytest
import yaml
from jax import export
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

from ardm import open_run
from ardm.job.spec import parse
from ardm.loading import load
from ardm.model import functions, policy
from ardm.model.evaluation import log_likelihood
from ardm.runner.attempt import run_attempt
from ardm.runner.context import Context, Notice
from ardm.store.store import Store
from ardm.training.group import Alone
from tests.cli.conftest import Here
from tests.runner.setting import opened
from tests.training.setting import tiny_model, tiny_sound_model, tiny_text_model

pytestmark = pytest.mark.slow

NUM, BUDGET = 6, 9

SMALL = """
job: small
training: {steps: 4, batch_size: 4, grad_shards: 2, warmup: 2}
checkpoint: {interval: 0}
evaluation: {every: 1000, images: 4, final_images: 4, samples: 0}
"""
DILATED = "{kind: dilated, channels: 8, blocks: 2, cycle: 2}"
JOBS = {
    "images": "model: {net: {channels: 4, patch: 4, multipliers: [1], blocks: 1, attention: [], "
    "groups: 2}}",
    "texts": "data: {dataset: text, length: 16}\n"
    "model: {net: {kind: transformer, width: 8, blocks: 1, heads: 1}}",
    "baseline": "data: {dataset: text, length: 16}\n"
    "model: {objective: permuted, net: {kind: transformer, width: 8, blocks: 1, heads: 1}}",
    "recordings": "data: {dataset: audio, source: files, path: SOUNDS, length: 32, rate: 8000}\n"
    f"model: {{net: {DILATED}}}",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    from tests.data.test_waves import wav

    sounds = tmp_path_factory.mktemp("sounds")
    for number in range(12):
        samples = (3000 * np.sin(np.arange(40) / (9 + number))).astype(np.int16)
        (sounds / f"{number}.wav").write_bytes(wav(samples, rate=8000))
    uri = str(tmp_path_factory.mktemp("exported") / "runs")
    for kind, lines in JOBS.items():
        spec = parse(SMALL + lines.replace("SOUNDS", str(sounds)), "small.yaml")
        run = opened(uri, kind, spec)
        assert run_attempt(run, spec, Context(Alone(), Notice())).outcome == "completed"
    return uri


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """An environment that holds what the model card names, and what that needs, and no more."""
    folder = tmp_path_factory.mktemp("elsewhere")
    names = (
        "jax",
        "jaxlib",
        "numpy",
        "numpy.libs",
        "PIL",
        "pillow.libs",
        "safetensors",
        "flatbuffers",
    )
    names += ("ml_dtypes", "opt_einsum", "scipy", "scipy.libs")
    site = Path(np.__file__).parents[1]
    for path in site.iterdir():
        distribution = path.name.partition("-")[0]
        if path.name in names or (path.suffix == ".dist-info" and distribution in names):
            (folder / path.name).symlink_to(path)
    return folder


def run_script(folder, elsewhere, seed):
    environment = dict(os.environ) | {"PYTHONPATH": str(elsewhere), "JAX_PLATFORMS": "cpu"}
    environment.pop("XLA_FLAGS", None)
    command = [sys.executable, "-S", "sample.py", str(seed)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def exported(store, kind, to):
    Here(store)("export", kind, "--to", str(to), "--num", str(NUM), "--budget", str(BUDGET))
    names = {path.name for path in to.iterdir()}
    assert names == {
        "README.md",
        "job.yaml",
        "model.safetensors",
        "sample.py",
        "sampler.jaxexport",
        "scorer.jaxexport",
    }
    return to


def test_images_are_drawn_without_this_package(store, tmp_path, elsewhere):
    folder = exported(store, "images", tmp_path / "a")
    run_script(folder, elsewhere, 3)
    picture = np.asarray(Image.open(folder / "samples.png"))
    assert picture.shape == (2 * 28, 3 * 28)
    model = open_run("images", store=store).load()
    drawn = model.sample(NUM, budget=BUDGET, seed=3).images[..., 0]
    ours = drawn.reshape(2, 3, 28, 28).swapaxes(1, 2).reshape(56, 84)
    # The script compiles with optimization, the tests without: single draws may be rounded apart.
    assert (picture == 255 * ours).mean() > 0.999


def test_texts_are_drawn_without_this_package(store, tmp_path, elsewhere):
    said = run_script(exported(store, "texts", tmp_path / "a"), elsewhere, 0)
    assert said.count("\n---\n") == NUM


def test_recordings_are_drawn_without_this_package(store, tmp_path, elsewhere):
    folder = exported(store, "recordings", tmp_path / "a")
    run_script(folder, elsewhere, 0)
    for number in range(NUM):
        with wave.open(str(folder / f"sample-{number}.wav")) as file:
            assert (file.getframerate(), file.getnframes(), file.getsampwidth()) == (8000, 32, 2)


def test_a_model_of_one_dimension_per_call_needs_no_budget(store, tmp_path):
    open_run("baseline", store=store).load().export(tmp_path / "a", num=2)
    assert "2 texts, 16 calls" in (tmp_path / "a" / "README.md").read_text()


def test_a_pulled_checkpoint_knows_its_evaluations_and_an_older_one_is_named(store, tmp_path):
    here = Here(store)
    here("pull", "baseline", "--to", str(tmp_path / "pulled"))
    pulled = load(tmp_path / "pulled", Store(store))
    assert pulled.likelihoods() == open_run("baseline", store=store).load().likelihoods()
    assert set(pulled.likelihoods()) == {"valid", "test"}
    note = tmp_path / "pulled" / "pulled.json"
    known = json.loads(note.read_text())
    assert known["evaluations"]["valid"][0] == pulled.step
    known["evaluations"] = {"valid": [1, 0.5, 0.01]}
    note.write_text(json.dumps(known))
    assert pulled.likelihoods() == {"valid": "0.5000 ± 0.0100 bits/char (at step 1)"}
    del known["evaluations"]
    note.write_text(json.dumps(known))
    assert pulled.likelihoods() == {}


def test_the_card_says_what_the_model_is(store, tmp_path):
    folder = exported(store, "images", tmp_path / "a")
    card = (folder / "README.md").read_text()
    _, header, body = card.split("---\n", 2)
    assert yaml.safe_load(header) == {
        "library_name": "jax",
        "license": "unknown",
        "tags": ["autoregressive-diffusion", "ardm", "binarized_mnist"],
    }
    model = open_run("images", store=store).load()
    for part in (model.digest, "| valid | ", "| test | ", " bits/dim |", "6 images, 9 calls"):
        assert part in body
    assert yaml.safe_load((folder / "job.yaml").read_text())["job"] == "small"
    with safe_open(folder / "model.safetensors", "numpy") as file:
        assert file.metadata() == {"run": "images", "step": "4", "digest": model.digest}
        names = set(file.keys())
    assert names == functions.named(model.params).keys()


def test_a_score_is_an_estimate_of_the_bound(store, tmp_path):
    folder = exported(store, "images", tmp_path / "a")
    model = open_run("images", store=store).load()
    images, _ = model.images("valid", NUM)
    scorer = export.deserialize(bytearray((folder / "scorer.jaxexport").read_bytes()))
    params = load_file(folder / "model.safetensors")
    call = jax.jit(scorer.call)
    scores = np.stack([call(params, images, np.uint32(seed)) for seed in range(200)])
    exact = -log_likelihood(
        model.model.bind(model.params),
        images,
        np.broadcast_to(np.arange(784, dtype=np.int32).reshape(28, 28, 1), (1, 28, 28, 1)),
        policy.uniform(784, 784),
        objective=model.model.objective,
    )
    assert scores.mean() == pytest.approx(exact.mean(), rel=0.1)


@pytest.mark.parametrize("kind", ["upscale", "text", "permuted", "sound"])
def test_the_function_draws_what_the_sampler_draws(kind):
    from ardm.model import sampling
    from ardm.training.state import seed_key

    model = {
        "upscale": lambda: tiny_model(classes=8, objective="upscale"),
        "text": lambda: tiny_text_model("oa"),
        "permuted": lambda: tiny_text_model("permuted"),
        "sound": lambda: tiny_sound_model("linear"),
    }[kind]()
    params = model.init(jax.random.key(1))
    starts = policy.uniform(model.D, 3, model.objective.stages)
    drawn = jax.jit(functions.sampler(model, 4, starts))(functions.named(params), np.uint32(5))
    expected = sampling.sample(
        model.bind(params), seed_key(5), 4, starts, objective=model.objective
    ).images
    np.testing.assert_array_equal(drawn, expected)


def test_nothing_is_overwritten_and_nothing_half_written(store, tmp_path):
    here = Here(store)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    said = here("export", "texts", "--to", str(tmp_path / "full"), code=2).stderr
    assert "exists and is not empty" in " ".join(said.split())
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]
    here("export", "texts", "--to", "/dev/null/x", code=2)
    here("export", "texts", "--to", str(tmp_path / "b"), "--budget", "99999", code=2)
    assert not (tmp_path / "b").exists()
    (tmp_path / "empty").mkdir()
    found = json.loads(
        here("export", "texts", "--to", str(tmp_path / "empty"), "--num", "2", "--json").stdout
    )
    assert set(found["files"]) == {path.name for path in (tmp_path / "empty").iterdir()}
