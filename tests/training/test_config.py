import json

import pytest
from pydantic import ValidationError

from ardm.training.config import EvaluationConfig, TrainingConfig


def parse(kind, **keys):
    return kind.model_validate_json(json.dumps(keys))


def test_every_default_fits_every_other():
    assert parse(TrainingConfig) == TrainingConfig()
    assert parse(EvaluationConfig) == EvaluationConfig()


@pytest.mark.parametrize("shards", [1, 2, 4, 8, 64])
def test_grad_shards_that_are_a_power_of_two_and_divide_the_batch_are_accepted(shards):
    assert parse(TrainingConfig, grad_shards=shards).grad_shards == shards


def test_all_faults_between_keys_come_in_one_message():
    with pytest.raises(ValidationError) as caught:
        parse(TrainingConfig, grad_shards=3, batch_size=64, warmup=11, steps=10)
    message = str(caught.value)
    assert "grad_shards: must be a power of two, got 3" in message
    assert "batch_size: 64 examples cannot be split into grad_shards=3" in message
    assert "warmup: 11 is more than steps=10" in message


def test_a_final_learning_rate_needs_a_schedule_that_falls():
    with pytest.raises(ValidationError, match="no effect with schedule: constant"):
        parse(TrainingConfig, final_learning_rate=1e-4, schedule="constant")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("steps", 0),
        ("steps", 1.5),
        ("batch_size", -1),
        ("learning_rate", 0),
        ("learning_rate", "1e-3"),
        ("learning_rate", float("inf")),
        ("learning_rate", float("nan")),
        ("schedule", "linear"),
        ("final_learning_rate", -1e-9),
        ("final_learning_rate", 1.0),
        ("weight_decay", -1e-9),
        ("warmup", -1),
        ("clip", 0.0),
        ("ema", 1.0),
        ("ema", -0.1),
        ("t_sampling", "stratified"),
        ("ce_weight", -1e-9),
    ],
)
def test_impossible_values_are_rejected(key, value):
    with pytest.raises(ValidationError, match=key):
        parse(TrainingConfig, **{key: value})
