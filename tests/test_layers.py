"""Imports point one way, from right to left:

data, model <- training <- plots, job <- store <- events, trackers <- checkpoint <- runner
    <- analysis, cluster, compression, export <- api, chaos, doctor, html <- cli
"""

import ast
import gc
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import ardm

ROOT = Path(ardm.__file__).parent
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))

BASE = {"collection", "config", "errors", "filesystem", "outages", "secrecy", "strict_json"}
FACE = {
    "api",
    "cells",
    "checkpointed",
    "exporting",
    "generated",
    "loading",
    "opening",
    "pretrained",
    "prompts",
    "runs",
    "scoring",
}
"""Files beside the packages that make up the public interface."""

LOWER = {
    "data": set(),
    "model": set(),
    "training": {"data", "model"},
    "plots": {"training"},
    "job": {"training"},
    "store": {"job"},
    "events": {"store"},
    "trackers": {"store"},
    "checkpoint": {"events"},
    "runner": {"plots", "checkpoint", "trackers"},
    "analysis": {"runner"},
    "cluster": {"runner"},
    "compression": {"runner"},
    "export": {"job"},
    "html": {"analysis"},
    "api": {"analysis", "cluster", "compression", "export"},
    "chaos": {"analysis", "cluster"},
    "doctor": {"cluster"},
    "cli": {"api", "chaos", "doctor", "html"},
}
"""The layers directly below each one; it may import from those below them, too."""


def may_import(layer: str) -> set[str]:
    """A layer and all those below it."""
    return {layer}.union(*(may_import(lower) for lower in LOWER[layer]))


SCIENCE = {"model", "training"}
KEPT_FROM_SCIENCE = {"ray", "orbax", "yaml", "typer"}


def layer(file: str) -> str:
    if "/" in file:
        return file.split("/")[0]
    return "api" if file.removesuffix(".py") in FACE else ""


@cache
def _parse(file: str) -> ast.Module:
    """Parse a file; early releases of Python 3.11 fail if garbage is collected meanwhile."""
    gc.disable()
    try:
        return ast.parse((ROOT / file).read_text())
    finally:
        gc.enable()


def imports(file: str) -> Iterator[str]:
    """Full names of all that a file imports, wherever in it."""
    for node in ast.walk(_parse(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are written out in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files_importing(*packages: str) -> set[str]:
    return {
        file
        for file in FILES
        for name in imports(file)
        for package in packages
        if f"{name}.".startswith(f"{package}.")
    }


def test_every_layer_is_known_and_has_files():
    assert {layer(file) for file in FILES} - {""} == set(LOWER)


@pytest.mark.parametrize("file", [file for file in FILES if layer(file)])
def test_a_file_imports_only_from_its_own_layer_and_those_below(file):
    ours = {name.split(".")[1] for name in imports(file) if name.startswith("ardm.")}
    layers = {"api" if name in FACE else name for name in ours - BASE}
    assert layers <= may_import(layer(file)), f"ardm/{file} reaches up"


@pytest.mark.parametrize("file", [file for file in FILES if layer(file) in SCIENCE])
def test_the_science_knows_no_cluster_no_checkpoint_library_and_no_command_line(file):
    assert not {name.split(".")[0] for name in imports(file)} & KEPT_FROM_SCIENCE


def test_one_file_alone_imports_ray_train():
    assert files_importing("ray.train") == {"cluster/workers.py"}


def test_one_file_alone_imports_orbax():
    assert files_importing("orbax") == {"checkpoint/serialization.py"}


@pytest.mark.parametrize("file", FILES)
def test_no_name_of_a_file_is_given_to_a_second_thing(file):
    """The first one would be lost to all that is below, and no other tool says so of constants."""
    names: Counter[str] = Counter()
    for node in _parse(file).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names[node.name] += 1
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found = (part for target in targets for part in ast.walk(target))
            names.update(part.id for part in found if isinstance(part, ast.Name))
    assert [name for name, count in names.items() if count > 1] == []


RAY_INSIDE = (
    "ray._private", "ray._raylet", "ray.core", "ray.train._internal", "ray.train.v2",
)  # fmt: skip


def test_the_insides_of_ray_and_jax_are_each_behind_one_door():
    assert files_importing(*RAY_INSIDE) == set()
    assert files_importing("jax._src") == {"runner/_jax.py"}


def test_ray_is_known_to_the_cluster_and_the_layers_above_alone():
    assert {layer(file) for file in files_importing("ray")} <= {"cluster", "chaos", "cli"}


SCIENTIFIC = {"jax", "orbax", "flax"}
DRAWING = {"matplotlib", "tensorboardX"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "kept_out"),
    [
        ("ardm.api", SCIENTIFIC | DRAWING | {"ray"}),
        ("ardm.cli.main", SCIENTIFIC | DRAWING | {"numpy", "ray"}),
        ("ardm.cluster.driver", SCIENTIFIC | DRAWING),
        ("ardm.analysis.status", DRAWING | {"flax", "optax"}),
        ("ardm.runner.attempt", DRAWING),
        ("ardm.trackers.tensorboard", {"boto3", "google.cloud.storage"}),
    ],
)
def test_what_takes_seconds_to_import_is_not_imported_before_it_is_needed(module, kept_out):
    found = f"import sys, {module}; print({kept_out!r} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", found], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"
