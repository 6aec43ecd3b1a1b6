"""Numbers that a later stage cannot take are refused with the name of their field."""

import jax
import numpy as np
import pytest

from ardm.errors import SpecError
from ardm.job.spec import JobSpec, parse
from ardm.model.net_config import TransformerConfig, UNetConfig
from ardm.training.state import seed_key
from tests.job.test_spec_fuzz import paths

SCHEMA = JobSpec.model_json_schema()
NETS = {"transformer": TransformerConfig, "unet": UNetConfig}
"""For a key that several kinds of network have the last one is tried."""
BASES = {
    "data.shape": "[{}, 4, 1]",
    "model.net.multipliers": "[{}]",
    "model.net.attention": "[{}]",
    "scaling.workers": "[1, {}]",
}


def kinds(path: str) -> set[str]:
    """The JSON types that a field may have, those of a list's items included."""
    nodes = [SCHEMA]
    for name in path.split("."):
        sections = [section for node in nodes for section in _sections(node)]
        nodes = [s["properties"][name] for s in sections if name in s["properties"]]
    return {kind for node in nodes for kind in _types(node)}


def _sections(node):
    """The sections that a node stands for: several where `kind` selects one."""
    for choice in node.get("oneOf", [node]):
        yield SCHEMA["$defs"][choice["$ref"].split("/")[-1]] if "$ref" in choice else choice


def _types(node):
    yield node.get("type", "")
    for inner in (*node.get("anyOf", ()), *node.get("prefixItems", ())):
        yield from _types(inner)
    if isinstance(node.get("items"), dict):
        yield from _types(node["items"])


NUMBERS = [path for path in paths() if kinds(path) & {"integer", "number"}]


def message(path: str, value: str) -> str:
    options = [f"{path}={BASES.get(path, '{}').format(value)}"]
    name = path.removeprefix("model.net.")
    options += [f"model.net.kind={kind}" for kind, net in NETS.items() if name in net.model_fields]
    with pytest.raises(SpecError) as caught:
        parse("job: a", "job.yaml", options)
    return str(caught.value)


def test_the_fields_with_numbers_are_found():
    assert len(NUMBERS) > 30
    assert {"seed", "training.clip", *BASES} < set(NUMBERS)


@pytest.mark.parametrize("path", NUMBERS)
@pytest.mark.parametrize("value", ["9" * 45, "-20241124093000123456789", "1e39", ".inf", ".nan"])
def test_every_number_has_bounds(path, value):
    assert f"  {path}" in message(path, value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", "4294967296"),
        ("training.steps", "2147483648"),
        ("training.ema", "0.99999999999"),
        ("model.net.dropout", "0.99999999999"),
        ("training.learning_rate", "1e-46"),
        ("training.learning_rate", "1e-39"),
        ("training.clip", "1e-400"),
        ("training.ce_weight", "1e-50"),
        ("training.grad_shards", "131072"),
        ("checkpoint.interval", "1e10"),
    ],
)
def test_what_int32_or_float32_changes_is_refused(path, value):
    assert f"  {path}: " in message(path, value)


def test_what_only_fits_field_by_field_is_refused_together():
    wide = ["model.net.channels=65536", "model.net.multipliers=[1024]"]
    with pytest.raises(SpecError, match=r"model\.net\.channels: a level is 67108864 wide"):
        parse("job: a", "x", wide)
    large = "{dataset: images, source: files, path: /x, shape: [65536, 65536, 3]}"
    with pytest.raises(SpecError, match="an image holds at most"):
        parse("job: a", "x", [f"data={large}"])
    with pytest.raises(SpecError, match="images have 1 channel"):
        parse("job: a", "x", [f"data={large.replace('65536, 65536, 3', '4, 4, 2')}"])


def test_every_seed_that_is_taken_is_a_seed_of_its_own():
    largest = parse("job: a\nseed: 4294967295", "x").seed
    keys = [jax.random.key_data(seed_key(seed)) for seed in (0, 1, largest, largest - 1)]
    assert len(np.unique(np.stack(keys), axis=0)) == 4


def test_the_largest_values_leave_nothing_to_overflow():
    options = ["training.steps=2147483647", "training.ema=0.99999994", "checkpoint.interval=1e9"]
    spec = parse("job: a", "x", [*options, "training.learning_rate=3.4e38"])
    assert np.float32(spec.training.ema) < 1
    assert np.isfinite(np.float32(spec.training.learning_rate))
    assert np.int32(spec.training.steps) + np.int64(1) == 2**31


def test_a_path_that_cannot_be_resolved_is_refused():
    with pytest.raises(SpecError, match=r"data\.path: cannot be used: Could not determine home"):
        parse("job: a\ndata: {source: files, path: ~nosuchuser/x}", "x")
