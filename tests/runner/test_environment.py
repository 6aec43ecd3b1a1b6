import json
import os
import subprocess
import sys

import pytest

from ardm.runner.agreement import brief, differences
from ardm.runner.environment import KEYS, changes, environment, latest_changes, xla_flags
from ardm.training.devices import DETERMINISTIC, our_flags
from ardm.training.group import MESSAGE_BYTES

pytestmark = pytest.mark.slow


HERE = environment("d" * 64)
PROGRAM = """
import json
from ardm.runner.environment import environment
from ardm.training.devices import use_cpu
use_cpu(2)
print(json.dumps(environment()))
"""


def elsewhere(**variables: str):
    """The environment of a process with other variables."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("XLA_", "JAX_"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=plain | variables, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_everything_is_known_here_and_survives_json():
    assert HERE.keys() == set(KEYS)
    assert json.loads(json.dumps(HERE, allow_nan=False)) == HERE
    assert changes(HERE, environment("d" * 64)) == {}
    assert "L1=" in HERE["instruction_set"]


def test_flags_settings_and_variables_of_a_process_are_seen():
    usual = elsewhere()
    assert usual["xla_flags"] == xla_flags(" ".join(our_flags()))
    assert usual["jax_settings"]["NPROC"] == "4"
    other = elsewhere(
        XLA_FLAGS="--xla_cpu_max_isa=AVX --xla_dump_to=/tmp/nowhere",
        JAX_ENABLE_X64="1",
        JAX_DEFAULT_MATMUL_PRECISION="bfloat16",
    )
    found = [str(change) for some in changes(usual, other).values() for change in some]
    assert found == [
        "xla_flags: --xla_cpu_max_isa: None -> AVX",
        "jax_settings: jax_default_matmul_precision: None -> bfloat16",
        "jax_settings: jax_enable_x64: False -> True",
    ]


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("--a=1 --b=2", "--b=2  --a=1", True),
        ("--a=1 --a=2", "--a=2", True),
        ("--a", "--a=true", True),
        ("--a", "--a=false", False),
        ("--a=1", "", False),
        (f"{DETERMINISTIC} --a=1", "--a=1", False),
        ("--xla_dump_to=/tmp/x --xla_dump_hlo_as_text --a=1", "--a=1", True),
        ("--xla_force_host_platform_device_count=8", "", True),
        ("--xla_backend_optimization_level=0", "", False),
        ("--xla_cpu_enable_fast_math=true", "", False),
    ],
)
def test_flags_of_xla_are_compared_by_what_they_mean(one, other, equal):
    assert (xla_flags(one) == xla_flags(other)) == equal


def test_flags_of_xla_may_stand_in_a_file(tmp_path):
    file = tmp_path / "flags"
    file.write_text("--b=2\n--a=1\n")
    assert xla_flags(str(file)) == {"--a": "1", "--b": "2"}
    assert xla_flags(f"{file}-gone") == {"file": f"{file}-gone"}


def test_the_latest_change_of_each_part_is_told_and_the_unknown_is_no_change():
    past = [
        {"device": "cpu:cpu", "libraries": {"jax": "1", "numpy": "2"}},
        {},  # an unreadable claim
        {"device": "cpu:cpu", "libraries": {"jax": "2", "numpy": "2"}, "python": "3.11.7"},
        {"libraries": {"jax": "3", "numpy": "2", "grain": "1"}, "python": "3.12.1", "host": "b"},
        {"libraries": {"jax": "3", "numpy": "2", "grain": "1"}, "data": "d" * 64},
    ]
    found = latest_changes(past)
    assert list(found) == ["libraries", "python"]
    assert [str(change) for change in found["libraries"]] == ["libraries: jax: 2 -> 3"]
    assert [str(change) for change in found["python"]] == ["python: 3.11.7 -> 3.12.1"]


def test_of_an_instruction_set_what_differs_is_told():
    old = {"instruction_set": "x86_64 L1=32K avx avx2 fma"}
    new = {"instruction_set": "x86_64 L1=48K avx avx2 avx512f fma"}
    (change,) = changes(old, new)["instruction_set"]
    assert str(change) == "instruction_set: L1=32K -> L1=48K avx512f"
    assert changes(old, {"instruction_set": "x86_64 L1=32K avx avx2 fma"}) == {}


def test_a_message_to_other_workers_holds_any_environment():
    flags = {f"--xla_{number}": "x" * 50 for number in range(400)}
    wide = HERE | {"xla_flags": flags, "jax_settings": flags, "libraries": flags, "data": "e" * 64}
    sent = brief(wide)
    assert len(json.dumps(sent).encode()) < MESSAGE_BYTES - 4000
    assert differences([sent, brief(wide)]) == []
    worse = brief(wide | {"xla_flags": flags | {"--xla_7": "y"}})
    (line,) = differences([sent, sent, worse])
    assert line.startswith("worker 2 differs from worker 0 in xla_flags: ")
