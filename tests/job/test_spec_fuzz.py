"""Whatever is fed in: a spec that can be used and written down, or one SpecError."""

import json
import os
import subprocess
import sys

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ardm.errors import SpecError
from ardm.job import job_file
from ardm.job.sections import Sections
from ardm.job.spec import JobSpec, parse
from tests.runner.bombs import BOMBS
from tests.runner.setting import JOB

LONG = os.environ.get("ARDM_TEST_LONG")
few = settings(deadline=None, max_examples=5000 if LONG else 60)


def paths() -> list[str]:
    """Every key of a job file, for every kind of network."""
    sections, found, new = Sections(JobSpec), [], [()]
    while new:
        path = new.pop(0)
        found.append(".".join(path))
        new += [(*path, name) for name in sections.names(path)]
    return found[1:]


def read(text: str, *overrides: str) -> JobSpec | None:
    """The spec, if it is one: usable by everything that reads it, and the same when read again."""
    try:
        spec = parse(text, "job.yaml", overrides)
    except SpecError as error:
        message = str(error)
    else:
        message = ""
    assert len(message) < 20_000
    if message:
        return None
    assert parse(spec.to_yaml(), "again") == spec
    assert parse(json.dumps(spec.model_dump(mode="json")), "a claim's copy") == spec
    spec.scaling.sizes(spec.training.grad_shards)
    return spec


marks = st.sampled_from(list("[]{},:-?&*!|>'\"#%@`~<=. \n\t"))
odd = st.sampled_from(
    """010 0o10 0x1F 0b1 1_000 1:30 190:20:30.15 1e3 1e-400 1e400 -.5 .inf .nan 08 yes No off ~
    null 2024-01-02 true TRUE 18446744073709551616 -1 -0 <<: *a &a !!binary !!set !!python/none
    "\\0" "\\ud800" "\\UFFFFFFFF" ? [[]] {a:{}} {?[1]:2} "" '' 1.0000000000000001 0.99999999999
    5e-324 .5_ 0x_ 0b_ ._ +""".split()  # noqa: SIM905  # a list is three times as long
)
words = st.one_of(odd, st.sampled_from(paths()), st.text(max_size=8), st.integers().map(str))
texts = st.lists(st.one_of(marks, words), max_size=25).map("".join)
values = st.recursive(
    words, lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(words, inner), max_size=4).map(
            lambda pairs: "{" + ", ".join(f"{k}: {v}" for k, v in pairs) + "}"
        ),
    ), max_leaves=8,
)  # fmt: skip
options = st.builds("{}={}".format, st.one_of(st.sampled_from(paths()), words), values)


@few
@given(texts)
@example("&a [*a]")
@example("x: &a {<<: *a}")
@example("{? {? [1] : 2} : 3}")
def test_no_text_does_more_than_be_refused(text):
    read(text)
    read(f"job: a\n{text}")


@few
@given(st.lists(options, max_size=3))
@example(["training.learning_rate=5e-324"])
@example(["data.path=~nosuchuser/x"])
@example(['data={dataset: images, source: files, path: "a\\0b"}'])
@example(["model.net.multipliers=[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"])
@example(["training.grad_shards=1099511627776"])
@example(["model={net: {channels: 65536, multipliers: [1021, 1]}}"])
def test_no_option_does_more_than_be_refused(given_options):
    read(JOB, *given_options)


@few
@given(st.sampled_from(paths()), values)
def test_no_value_in_a_file_does_more_than_be_refused(path, value):
    *sections, key = path.split(".")
    lines = [f"{'  ' * depth}{name}:" for depth, name in enumerate(sections)]
    read("\n".join([*lines, f"{'  ' * len(sections)}{key}: {value}"]))


@few
@given(st.binary(max_size=60), st.sampled_from(["utf-8", "utf-16", "utf-8-sig", "latin-1"]))
def test_no_bytes_do_more_than_be_refused(data, encoding):
    for tried in (data, "job: a\n# é\nseed: 5".encode(encoding) + data):
        try:
            text = job_file.decode(tried, "job.yaml")
        except SpecError:
            continue
        read(text)


def test_a_text_that_grows_is_refused_in_bounded_memory():
    done = subprocess.run(
        [sys.executable, "-m", "tests.runner.bombs"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["refused"] * (len(BOMBS) + 4)
