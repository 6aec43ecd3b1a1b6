"""The benchmarks run, and what they compare computes the same numbers."""

import importlib
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from ardm.data.config import describe
from ardm.job.spec import load
from ardm.model.build import build
from ardm.training.state import init

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


@pytest.fixture
def reference(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("parts.reference")


def test_the_reference_has_the_losses_and_gradients_of_ours(reference):
    spec = load(ROOT / "jobs" / "binmnist-student.yaml")
    model = build(spec.model, *describe(spec.data))
    flat = init(model, spec.training, 0).params
    # The layers that are zero at first would hide the others.
    params = model.unravel(flat + 0.02 * jax.random.normal(jax.random.key(1), flat.shape))
    x = jnp.asarray(np.random.default_rng(0).integers(0, 2, (2, *model.shape), dtype=np.uint8))
    draw = model.objective.draw(jax.random.key(2), 0, jnp.arange(2), 2, "uniform")

    def ours(params):
        terms = model.objective.terms(partial(model.predict, params), x, draw)
        return model.objective.loss(terms, spec.training.ce_weight).mean()

    def theirs(params):
        values = x.astype(jnp.int32)
        return reference.loss(params, values, draw.sigma, draw.t, spec.training.ce_weight)

    (a, of_ours), (b, of_theirs) = (jax.jit(jax.value_and_grad(f))(params) for f in (ours, theirs))
    np.testing.assert_allclose(a, b, rtol=1e-5)
    one, other = ravel_pytree(of_ours)[0], ravel_pytree(of_theirs)[0]
    np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())


def test_a_part_is_measured_shown_and_written(tmp_path):
    out = tmp_path / "bench.json"
    command = [sys.executable, "benchmarks/bench.py", "--only", "saves", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "save (GCS emulator): until it is durable" in done.stdout
    written = json.loads(out.read_text())
    assert written["machine"]
    assert all(one["median"] > 0 for one in written["parts"]["saves"])
