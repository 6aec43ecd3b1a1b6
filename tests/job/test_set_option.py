"""`--set`: what it changes, and what it refuses."""

import pytest

from ardm.errors import SpecError
from ardm.job.spec import parse
from tests.runner.setting import JOB


def faults(*overrides: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse(JOB, "job.yaml", overrides)
    return str(caught.value)


def test_a_mapping_adds_to_the_section_that_it_names():
    found = parse(JOB, "x", ["training={steps: 500}", "model={net: {channels: 8}}"])
    kept = parse(JOB, "x", ["training.steps=500", "model.net.channels=8"])
    assert found == kept
    assert (found.training.batch_size, found.model.net.patch) == (4, 2)
    assert parse(JOB, "x", ["training=steps: 500\nwarmup: 5"]).training.warmup == 5


def test_options_count_in_their_order_whatever_their_form():
    options = ["training={steps: 50, warmup: 3}", "training.steps=60", "training={warmup: 4}"]
    found = parse(JOB, "x", options).training
    assert (found.steps, found.warmup) == (60, 4)


@pytest.mark.parametrize(
    ("option", "fault"),
    [
        ("training={}", "--set training={}: expected keys of the section"),
        ("training=null", "--set training=null: expected keys of the section"),
        ("training=", "--set training=: expected a value, got none"),
        ("training={steps}", "training.steps: expected a value, got none"),
        ("training={stpes: 5}", "training.stpes: unknown key; did you mean 'steps'?"),
        ("training={steps: 5, steps: 6}", "training: key 'steps' stands twice (--set)"),
        ("training=[1]", "training: input should be an object, got [1]"),
        ("training=5", "training: input should be an object, got 5"),
        ("training..steps=5", "expected section.key=value"),
        (".steps=5", "expected section.key=value"),
        ("training.=5", "expected section.key=value"),
        ("", "--set : expected section.key=value"),
        ("training.steps:5", "expected section.key=value"),
        ("training.steps='5'", "training.steps: input should be a valid integer, got '5'"),
        ('training.steps="5', "not valid YAML"),
        ("training.clip=", "expected a value, got none; write null for none, or ''"),
        ("training.clip=&x", "expected a value, got none"),
        ("training.clip=# 5", "expected a value, got none"),
        ("data.path=/data/my #1", "'#1' follows the value; put a value with `#` in it in quotes"),
        ("training.steps=5 # of them", "'# of them' follows the value"),
        ("model.net.multipliers=[1, [2]]", "model.net.multipliers.1: input should be a valid int"),
        ("model.net.multipliers.0=3", "multipliers is not a section"),
        ("training.steps=[[5]]", "training.steps: input should be a valid integer, got [[5]]"),
        ("training.steps={a: [*b]}", "not valid YAML"),
        ("training.steps=&a [*a]", "holds itself, through an alias"),
        ("seed=\udcff", "not valid YAML"),
        ("se\x1bed=5", "'se\\x1bed': unknown key; did you mean 'seed'?"),
        ("se\x1bed", "--set se\\x1bed: expected section.key=value"),
    ],
)
def test_an_option_that_would_lose_something_is_refused(option, fault):
    assert fault in faults(option)


def test_quotes_and_blanks_are_those_of_yaml(tmp_path):
    (tmp_path / "a #1: b").mkdir()
    path = tmp_path / "a #1: b"
    options = ["data.source=files", f"data.path='{path}'", " seed = 5 ", "training.clip= null"]
    found = parse(JOB, "x", options)
    assert (found.data.path, found.seed, found.training.clip) == (str(path), 5, None)
