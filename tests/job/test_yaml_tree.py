"""What the YAML of a job file means, and what in it is refused."""

import os
import stat
from pathlib import Path

import pytest

from ardm.errors import SpecError
from ardm.job.spec import JobSpec, load, parse
from tests.runner.setting import JOB


def faults(text: str, *overrides: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse(text, "job.yaml", overrides)
    return str(caught.value)


def test_a_merge_key_takes_over_what_is_not_given():
    one = "job: a\ntraining: {steps: 60, <<: &t {steps: 30, batch_size: 8}, warmup: 5}"
    spec = parse(one, "job.yaml").training
    assert (spec.steps, spec.batch_size, spec.warmup) == (60, 8, 5)
    several = "job: a\ntraining: {warmup: 0, <<: [{steps: 30}, {steps: 9, batch_size: 8}]}"
    spec = parse(several, "job.yaml").training
    assert (spec.steps, spec.batch_size) == (30, 8)
    quoted = 'job: a\ntraining: {"<<": {steps: 30}}'
    assert "training.'<<': unknown key" in faults(quoted)


def test_an_alias_stands_for_a_copy():
    text = "job: a\nevaluation: {every: &n 50, first: *n}\ntraining: {steps: *n, warmup: 0}"
    spec = parse(text, "job.yaml", ["evaluation.every=60"])
    assert (spec.evaluation.every, spec.evaluation.first, spec.training.steps) == (60, 50, 50)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("training: {<<: 3}", "training: expected a mapping after `<<`, or a list of mappings"),
        ("training: {<<: {}, <<: {}}", "training: key '<<' stands twice (line 2)"),
        ("2024-01-02: 3", "2024-01-02: unknown key"),
        ("null: 3", "null: unknown key"),
        ("~: 3", "'~': unknown key"),
        ("true: 3", "true: unknown key"),
        ("3.5: 3", "'3.5': unknown key"),
        ("'': 3", "'': unknown key"),
        ("? [a, b]\n: 3", "expected a name for a key, got a sequence (line 2)"),
        ("? {a: b}\n: 3", "expected a name for a key, got a mapping (line 2)"),
        ('"\\ud800": 3', "expected a name for a key, got this text (line 2)"),
        ("training.steps: 3", "write training: {steps: ...}; dots are for --set"),
        ("training: &t {steps: *t}", "the value holds itself, through an alias (line 2)"),
        ("training: &t\n  steps: [*t]", "the value holds itself, through an alias (line 2)"),
        ("training: {steps: *nowhere}", "found undefined alias"),
        ("data: {path: !!binary aGk=}", "expected a value without the tag !!binary"),
        ("data: !!python/object:os.system {}", "without the tag !!python/object:os.system"),
        ("data: !!set {a, b}", "data: expected a value without the tag !!set"),
        ("seed: !!int '3.5'", "seed: '3.5' is no int; leave out the tag (line 2)"),
        ('data: {path: "a\\0b"}', "data.path: expected text, got a NUL or half of a pair"),
        ('data: {path: "\\udc00"}', "data.path: expected text, got a NUL or half of a pair"),
        ("---\njob: b", "expected a single document"),
        ("training: {schedule: 'a\x07'}", "special characters are not allowed"),
    ],
)
def test_what_a_job_has_no_use_for_is_refused(text, fault):
    assert fault in faults(f"job: a\n{text}")


@pytest.mark.parametrize(
    ("word", "reading"),
    [
        ("010", "010 is 8 in YAML 1.1 and 10 in YAML 1.2; write 8 or 10"),
        ("-010", "-010 is -8 in YAML 1.1 and -10 in YAML 1.2"),
        ("08", "08 is the text '08' in YAML 1.1 and 8 in YAML 1.2; write '08' or 8"),
        ("0o17", "0o17 is the text '0o17' in YAML 1.1 and 15 in YAML 1.2"),
        ("1_000", "1_000 is 1000 in YAML 1.1 and the text '1_000' in YAML 1.2"),
        ("0b11", "0b11 is 3 in YAML 1.1 and the text"),
        ("1:30", "1:30 is 90 in YAML 1.1 and the text '1:30' in YAML 1.2; write 90 or '1:30'"),
        ("1:30.5", "1:30.5 is 90.5 in YAML 1.1"),
        ("yes", "yes is true in YAML 1.1 and the text 'yes' in YAML 1.2; write true or 'yes'"),
        ("No", "No is false in YAML 1.1"),
        ("off", "off is false in YAML 1.1"),
        ("9" * 101, "expected a number of at most 100 digits, got 101 of them"),
        ("0x" + "f" * 5000, "expected a number of at most 100 digits, got 5002 of them"),
    ],
)
def test_a_word_that_yaml_reads_in_two_ways_is_refused_with_both(word, reading):
    keys = ("job", "seed", "training.learning_rate", "training.clip", "data.path")
    for key in (*keys, "data.augment.flip"):
        message = faults(JOB, f"{key}={word}")
        assert f"{key}: {reading}" in message
        assert message.startswith("job.yaml: 1 fault\n"), message
    assert f"seed: {reading}" in faults(f"job: a\nseed: {word}")


@pytest.mark.parametrize(
    ("word", "value"),
    [("0x1F", 31), ("+12", 12), ("-0", 0), ("!!int 7", 7), ("!!int '7'", 7), ("0", 0)],
)
def test_a_whole_number_that_all_read_alike_is_taken(word, value):
    assert parse(f"job: a\nseed: {word}", "job.yaml").seed == value


def test_a_whole_number_is_not_written_as_a_float():
    message = faults("job: a\ntraining: {steps: 1e3}")
    assert "training.steps: input should be a valid integer, got 1000.0; write 1000" in message
    assert "job: input should be a valid string, got 1000.0; put text in quotes" in faults(
        "job: 1e3"
    )


@pytest.mark.parametrize("name", ["1e3", "no", "010", "08", "0o7", "null", "1_0", "2024-01-02"])
def test_a_name_that_looks_like_something_else_survives_the_frozen_spec(name):
    spec = JobSpec(job=name)
    assert parse(spec.to_yaml(), "again") == spec


@pytest.mark.parametrize(
    "text",
    [
        "training:",
        "training:\n  # steps: 5\n  # warmup: 3",
        "training: ~",
        "model:\n  net:\n    # channels: 8\n  upscale:",
        "data:\n  augment:",
        "training: {}",
    ],
)
def test_a_section_in_which_nothing_stands_has_its_defaults(text):
    assert parse(f"job: a\n{text}", "job.yaml") == JobSpec(job="a")


def test_an_empty_section_can_be_filled_by_set():
    found = parse("job: a\ntraining:", "job.yaml", ["training.steps=500"])
    assert found.training.steps == 500


def test_a_key_without_a_value_is_refused_even_where_null_is_allowed():
    text = "job: a\ntraining:\n  clip:  # 1.0\n  steps:"
    for key in ("clip", "steps"):
        assert f"training.{key}: expected a value, got none; write null for none" in faults(text)
    given = ("training.clip=null", "training.steps=500")
    assert parse(text, "job.yaml", given).training.clip is None
    assert parse("job: a\ntraining: {clip: null}", "job.yaml").training.clip is None
    assert "  train: unknown key; did you mean 'training'?" in faults("job: a\ntrain:")


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-mark", "utf-16-be-mark", "utf-32"]
)
def test_a_file_may_have_any_encoding_that_it_names(tmp_path: Path, encoding):
    text = "job: a  # größer\r\nseed: 5\r\n"
    data = ("\ufeff" + text).encode(encoding[:9]) if "mark" in encoding else text.encode(encoding)
    (tmp_path / "job.yaml").write_bytes(data)
    assert load(tmp_path / "job.yaml").seed == 5


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ("job: a\n# größer".encode("latin-1"), "line 2 is not UTF-8 (byte 0xf6); save the file as"),
        ("job: a".encode("utf-16-le"), "it holds NUL characters, as UTF-16 without a byte-order"),
        (b"\xff\xfej", "is not UTF-16-LE"),
        (b"job: a\0", "it holds NUL characters"),
        (b"job: a\ntraining:\n\tsteps: 5", "found character '\\t'"),
        (b"job: a\n" + b"#" * 200_000, "expected a job file of at most 131072 bytes"),
        (b"job: a\n" + b"#" * 40_000, "expected a job of at most 32768 characters"),
    ],
)
def test_a_file_that_is_no_text_is_refused_with_the_place(tmp_path: Path, data, fault):
    (tmp_path / "job.yaml").write_bytes(data)
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "job.yaml")
    assert fault in str(caught.value)


def test_what_is_no_file_is_refused_without_a_wait(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    tried = {tmp_path: "a directory", tmp_path / "pipe": "a named pipe"}
    tried |= {Path("/dev/zero"): "a device", tmp_path / "a\0b": "embedded null"}
    tried |= {tmp_path / ("x" * 300): "File name too long", tmp_path / "no": "No such file"}
    for path, words in tried.items():
        with pytest.raises(SpecError, match="cannot be read: ") as caught:
            load(path)
        assert words in str(caught.value)


def test_a_pipe_of_this_process_is_read():
    reader, writer = os.pipe()
    os.write(writer, b"job: piped")
    os.close(writer)
    assert stat.S_ISFIFO(os.fstat(reader).st_mode)
    assert load(f"/dev/fd/{reader}").job == "piped"
    os.close(reader)
