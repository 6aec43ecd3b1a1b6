import pytest

from ardm.errors import SpecError
from ardm.job.spec import JobSpec, differences, load, parse
from tests.runner.setting import JOB


def faults(text: str, *overrides: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse(text, "job.yaml", overrides)
    return str(caught.value)


def test_the_name_of_the_job_is_all_that_must_be_given():
    assert parse("job: a", "job.yaml") == JobSpec(job="a")


def test_a_spec_written_out_reads_back_the_same(spec):
    assert parse(spec.to_yaml(), "again") == spec


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("trainning: {}", "'training'"),
        ("training: {stpes: 3}", "'steps'"),
        ("training: {grad_shard: 3}", "'grad_shards'"),
        ("model: {net: {chanels: 3}}", "'channels'"),
        ("checkpoint: {intervall: 3}", "'interval'"),
        ("scaling: {worker: 3}", "'workers'"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_one(key, near):
    assert f"unknown key; did you mean {near}?" in faults(f"job: a\n{key}")


def test_an_unknown_key_like_no_other_is_answered_with_all_there_are():
    message = faults("job: a\ndata: {xyzzy: 1}")
    assert "data.xyzzy: unknown key; known here: dataset, source, path" in message


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("seed: 0", "job: required, but not given"),
        ("job: 3", "job: input should be a valid string, got 3"),
        ("job: Tiny", "job: expected lower-case letters, digits, - and _, got 'Tiny'"),
        ("job: -a", "job: expected lower-case"),
        ("job: " + "a" * 61, "job: string should have at most 60"),
        ("job: a\nseed: -1", "seed: input should be greater than or equal to 0, got -1"),
        ("job: a\nseed: 1.5", "seed: input should be a valid integer"),
        ("job: a\ntraining: 5", "training: "),
        (
            "job: a\ntraining: {steps: '5'}",
            "training.steps: input should be a valid integer, got '5'",
        ),
        ("job: a\ntraining: {steps: true}", "training.steps: "),
        ("job: a\ntraining: {steps: 0}", "training.steps: input should be greater than 0, got 0"),
        ("job: a\ntraining: {learning_rate: .inf}", "training.learning_rate: "),
        ("job: a\ntraining: {learning_rate: .nan}", "training.learning_rate: "),
        ("job: a\ntraining: {schedule: cosin}", "did you mean 'cosine'?"),
        ("job: a\ntraining: {ema: 1.0}", "training.ema: input should be less than 1"),
        ("job: a\nmodel: {net: {multipliers: []}}", "model.net.multipliers: "),
        ("job: a\nmodel: {net: {multipliers: [1, x]}}", "model.net.multipliers.1: "),
        ("job: a\ndata: {dataset: mnits}", "did you mean 'mnist'?"),
        ("job: a\ndata: {dataset: mnist}", "data.source: mnist is not in the package"),
        ("job: a\ncheckpoint: {keep_last: 0}", "checkpoint.keep_last: "),
        ("job: a\ncheckpoint: {interval: -1}", "checkpoint.interval: "),
        (
            "job: a\ntraining: {grad_shards: 3, batch_size: 3}",
            "training.grad_shards: must be a power",
        ),
        ("job: a\nscaling: {workers: 0}", "scaling.workers: expected a number of workers (1 or"),
        ("job: a\nscaling: {workers: [1]}", "or the fewest and the most, as in [1, 4], got [1]"),
        ("job: a\nscaling: {workers: [1, 3]}", "scaling.workers: 3 does not divide"),
        ("job: a\ntraining: {batch_size: 6}", "training.batch_size: 6 examples cannot be split"),
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_bounds_is_told_with_its_key(text, fault):
    assert fault in faults(text)


def test_faults_of_all_kinds_come_in_one_message():
    text = """
job: tiny
sed: 1
training: {steps: zero, batch_size: 64, grad_shards: 4, clipp: 1}
model: {net: {multipliers: [1, 2, 2], groups: 32, attention: [9]}}
scaling: {workers: 3}
"""
    message = faults(text, "evaluation.every=-1", "nonsense")
    assert message.startswith("job.yaml: ")
    for fault in (
        "sed: unknown key; did you mean 'seed'?",
        "training.steps: input should be a valid integer",
        "training.clipp: unknown key; did you mean 'clip'?",
        "model.net.attention: no level works at resolution 9",
        "evaluation.every: input should be greater than 0",
        "--set nonsense: expected section.key=value",
    ):
        assert fault in message


def test_faults_between_sections_are_told_together():
    text = "job: a\nscaling: {workers: 3}\nmodel: {net: {channels: 30, multipliers: [1, 1, 1, 1]}}"
    message = faults(text)
    assert (
        "scaling.workers: 3 does not divide training.grad_shards=4; choose from 1, 2, 4" in message
    )
    assert "model.net.multipliers: " in message
    assert "model.net.groups: " in message


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        ("{output: rgb_mixture}", "model.output: rgb_mixture mixes logistics over ordered values"),
        ("{objective: upscale}", "model.upscale.branch: 4 children cannot refine 2 classes"),
        (
            "{objective: upscale, upscale: {branch: 2, mode: augment, parametrisation: direct}}",
            "model.upscale.parametrisation: direct knows only coarse values",
        ),
    ],
)
def test_a_model_that_does_not_fit_the_classes_of_the_data_is_refused(model, fault):
    assert fault in faults(f"job: a\nmodel: {model}")


def test_a_key_that_stands_twice_is_told_with_its_line():
    assert "key 'steps' stands twice (line 4)" in faults(
        "job: a\ntraining:\n  steps: 1\n  steps: 2"
    )
    assert "key 'job' stands twice (line 2)" in faults("job: a\njob: b")


@pytest.mark.parametrize("text", ["job: [", "job: a\n\tseed: 1", "a: b: c", "job: *x"])
def test_broken_yaml_is_no_crash(text):
    assert "not valid YAML" in faults(text)


@pytest.mark.parametrize("text", ["", "# nothing", "just words", "[1, 2]", "42"])
def test_a_file_that_is_no_mapping_is_told_what_was_expected(text):
    assert "expected sections such as `training:`" in faults(text)


def test_a_date_is_taken_as_it_was_written():
    assert parse("job: 2024-01-02", "job.yaml").job == "2024-01-02"


@pytest.mark.parametrize("number", ["1e-3", "1E-3", "1.0e-3", "0.001", "+1e-3", "1.e-3"])
def test_a_number_in_any_notation_is_a_number(number):
    assert (
        parse(f"job: a\ntraining: {{learning_rate: {number}}}", "x").training.learning_rate == 1e-3
    )
    by_set = parse("job: a", "x", [f"training.learning_rate={number}"])
    assert by_set.training.learning_rate == 1e-3


def test_overrides_replace_and_add_and_the_last_one_counts():
    found = parse(
        JOB,
        "x",
        [
            "seed=9",
            "training.steps=50",
            "training.steps=60",
            "checkpoint.keep_every=null",
            "model.net.multipliers=[1]",
            "scaling.workers=2",
        ],
    )
    assert (found.seed, found.training.steps, found.scaling.workers) == (9, 60, 2)
    assert found.model.net.multipliers == (1,)
    assert found.checkpoint.keep_every is None
    assert found.training.batch_size == 4


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("steps", "--set steps: expected section.key=value"),
        ("=3", "--set =3: expected section.key=value"),
        ("seed.x=3", "--set seed.x=3: seed is not a section"),
        ("training.steps.x=3", "--set training.steps.x=3: steps is not a section"),
        ("training.steps=[", "--set training.steps=[: not valid YAML"),
        ("training.steps=2024-13-45", "input should be a valid integer, got '2024-13-45'"),
        ("training.step=3", "training.step: unknown key; did you mean 'steps'?"),
        ("trainin.steps=3", "trainin: unknown key; did you mean 'training'?"),
        ("training.steps=", "--set training.steps=: expected a value, got none"),
    ],
)
def test_a_faulty_override_is_told_as_it_was_given(override, fault):
    assert fault in faults(JOB, override)


def test_differences_name_each_key_with_both_values(spec):
    other = parse(JOB, "x", ["seed=8", "training.clip=null", "model.net.multipliers=[1]"])
    assert differences(spec, spec) == []
    assert sorted(differences(spec, other)) == [
        "model.net.multipliers: [1, 1] -> [1]",
        "seed: 7 -> 8",
        "training.clip: 1.0 -> None",
    ]


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(SpecError, match="cannot be read"):
        load(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"job: \xff")
    with pytest.raises(SpecError, match="cannot be read"):
        load(tmp_path / "bytes.yaml")
    (tmp_path / "job.yaml").write_text(JOB)
    assert load(tmp_path / "job.yaml", ["seed=1"]).seed == 1


@pytest.mark.parametrize(
    ("workers", "sizes"), [("1", [1]), ("4", [4]), ("[1, 4]", [1, 2, 4]), ("[2, 8]", [2, 4, 8])]
)
def test_the_group_may_have_every_size_within_bounds_that_divides_the_shards(workers, sizes):
    spec = parse(f"job: a\nscaling: {{workers: {workers}}}", "job.yaml", ["training.grad_shards=8"])
    assert spec.scaling.sizes(spec.training.grad_shards) == sizes
    assert parse(spec.to_yaml(), "job.yaml") == spec


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (
            "{kind: transfomer}",
            "model.net.kind: expected unet, transformer or dilated, got 'transfomer'; did",
        ),
        ("{kind: [a]}", "model.net.kind: expected unet, transformer or dilated, got ['a']"),
        ("{kind: transformer, patch: 2}", "model.net.patch: unknown key; known here: kind, width"),
        ("{kind: transformer, head: 2}", "model.net.head: unknown key; did you mean 'heads'?"),
        ("{kind: transformer, heads: 0}", "model.net.heads: "),
        ("3", "model.net: "),
    ],
)
def test_a_network_has_the_keys_of_its_kind(net, message):
    assert message in faults(f"job: a\nmodel: {{net: {net}}}")


def test_a_tracker_is_named_once():
    with pytest.raises(SpecError, match=r"(?i)trackers: expected each tracker once"):
        parse("{trackers: [wandb, wandb]}", "job.yaml")
