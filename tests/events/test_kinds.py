"""Every kind of event: what is written is read again, and what is odd is passed over."""

import json

import hypothesis.strategies as st
import pytest
from hypothesis import given

from ardm.events import kinds
from ardm.events.events import Event, Outcome
from ardm.events.records import unknown

SHA = "f" * 64
EVENTS = [
    kinds.Claimed(host="vm", workers=2, spec={"job": "tiny"}, submission=None),
    kinds.Started(step=0, seconds=0.4, data_sha256=SHA, data={"dataset": "mnist"}),
    kinds.Restored(step=7, digest=SHA, from_attempt=1, seconds=0.4, data_sha256=SHA, data={}),
    kinds.Skipped(step=7, from_attempt=1, reason="Damaged: other bytes"),
    kinds.DataChanged(step=7, old=SHA, new="e" * 64),
    kinds.LearningRate(step=7, old=0.1, new=0.2),
    kinds.WorkersDiffer(differences=["worker 1 differs from worker 0 in device: a, not b"]),
    kinds.FirstStep(step=8, seconds=1.2, compile_s=5.5),
    kinds.Trained(step=20, nelbo_bpd=0.6, steps_per_s=18.4),
    kinds.SkippedStep(step=21, reason="the loss is not finite"),
    kinds.Evaluated(
        step=30, split="valid", nelbo_bpd=0.6, nelbo_nats=326.0, se_bpd=0.01, se_nats=5.4,
        images=16, passes=2, seconds=3.5,
    ),
    kinds.Saved(step=30, digest=SHA, seconds=0.1, bytes=99954, interval=30.0),
    kinds.SaveFailed(step=31, reason="OSError: disk full"),
    kinds.Stalled(step=30, seconds=0.02),
    kinds.FinalSave(step=40, seconds=0.2),
    kinds.Notice(step=40, reason="SIGTERM"),
    kinds.WorkerFailed(rank=1, outcome=Outcome.FAILED, step=3, reason="boom", detail="Traceback"),
    kinds.Ended(outcome=Outcome.PREEMPTED, step=40, reason="SIGTERM; saved", detail=""),
]  # fmt: skip
REQUIRED = {"step": 3, "seconds": 1.5, "outcome": "stopped"}
ODD = [None, True, "x", [], {}, float("nan"), float("inf"), 10**400, 1.5]


def name(event: Event) -> str:
    return event.event


def needed(kind: type[Event]) -> dict[str, object]:
    """The fewest fields that make an event of a kind."""
    fields = [key for key, field in kind.model_fields.items() if field.is_required()]
    return {"event": kinds.name(kind), "time": 1.0} | {key: REQUIRED[key] for key in fields}


def test_there_is_an_example_of_every_kind() -> None:
    assert {type(event) for event in EVENTS} == set(kinds.KINDS.values())


@pytest.mark.parametrize("event", EVENTS, ids=name)
def test_what_is_written_is_read_again(event: Event) -> None:
    stamped = event.model_copy(update={"n": 3, "time": 1796018063.077})
    (found,) = kinds.parse(json.dumps(stamped.as_json()).encode(), pytest.fail)
    assert type(found) is type(event)
    assert found == stamped
    assert json.loads(found.model_dump_json()) == stamped.as_json()
    given = set(event.as_json()) - {"event", "time"}
    assert list(stamped.as_json()) == ["n", "event", "time", *list(event.as_json())[2:]]
    # Every field of a kind is written, since earlier versions may look for it.
    assert given >= set(type(event).model_fields) - {"n", "event", "time", "attempt"}


@pytest.mark.parametrize("kind", kinds.KINDS.values(), ids=kinds.name)
def test_keys_of_a_later_version_are_kept(kind: type[Event]) -> None:
    value = needed(kind) | {"of_later": [1, {"x": None}]}
    found = kinds.of_json(value)
    assert type(found) is kind
    assert found.as_json() == value


@pytest.mark.parametrize("kind", kinds.KINDS.values(), ids=kinds.name)
@pytest.mark.parametrize("odd", ODD, ids=str)
def test_an_odd_field_keeps_those_that_the_kind_needs(kind: type[Event], odd: object) -> None:
    value = needed(kind)
    plain = kinds.of_json(value)
    optional = [key for key in kind.model_fields if key not in value]
    for key in optional:
        found = kinds.of_json(value | {key: odd})
        assert type(found) is kind, key
        assert {k: v for k, v in found if k in value} == {k: v for k, v in plain if k in value}
        expected = type(plain.__dict__[key])
        assert isinstance(getattr(found, key), expected | str | float | int | None), key


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"event": "saved", "step": 3.0, "bytes": 5.0}, kinds.Saved(step=3, bytes=5)),
        (
            {"event": "saved", "step": 3, "bytes": True, "seconds": None, "interval": "x"},
            kinds.Saved(step=3),
        ),
        ({"event": "trained", "step": 3, "nelbo_bpd": float("nan")}, kinds.Trained(step=3)),
        ({"event": "evaluated", "step": 3, "split": 7}, kinds.Evaluated(step=3, split="test")),
        ({"event": "ended", "outcome": "later"}, kinds.Ended(outcome=Outcome.FAILED)),
        (
            {"event": "worker_failed", "rank": "x", "outcome": 7, "step": None, "reason": []},
            kinds.WorkerFailed(outcome=Outcome.FAILED, step=0, reason="unknown"),
        ),
    ],
)
def test_an_odd_field_has_its_default(fields: dict[str, object], found: Event) -> None:
    read = kinds.of_json(fields | {"time": 2.0})
    assert read == found.model_copy(update={"time": 2.0})


@pytest.mark.parametrize(
    "fields",
    [
        {"event": "happened", "step": 3},
        {"event": "saved"},
        {"event": "saved", "step": True},
        {"event": "saved", "step": 3.5},
        {"event": "first_step", "step": 1, "seconds": None},
        {"event": "stalled", "seconds": float("inf")},
        {"event": "ended", "step": 3},
        {"event": "ended", "outcome": 7},
    ],
)
def test_what_lacks_its_kind_is_a_sign_of_life_and_nothing_else(fields: dict[str, object]) -> None:
    event = kinds.of_json(fields | {"time": 2.0})
    assert type(event) is kinds.Other
    record, silent = unknown(1), unknown(1)
    record.take(event)
    silent.take(kinds.Other(event="x", time=2.0))
    assert record == silent
    assert record.last_seen == 2.0


@pytest.mark.parametrize(
    "value",
    [None, 3, "saved", [], {}, {"event": "saved"}, {"event": 3, "time": 1.0},
     {"event": "x", "time": True}, {"event": "x", "time": float("nan")},
     {"event": "x", "time": 10**400}, {"event": ["saved"], "time": 1.0}],
    ids=str,
)  # fmt: skip
def test_what_has_no_kind_or_no_time_is_no_event(value: object) -> None:
    assert kinds.of_json(value) is None


KEYS = sorted({key for kind in kinds.KINDS.values() for key in kind.model_fields})
texts = st.text() | st.sampled_from(["\ud800", *kinds.KINDS, *KEYS])
scalars = st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20
)
likely = st.fixed_dictionaries(
    {"event": st.sampled_from(sorted(kinds.KINDS)), "time": st.floats(0.0, 1e9)}
)


@given(values | st.builds(dict.__or__, st.dictionaries(texts, values), likely))
def test_any_value_is_an_event_or_none(value: object) -> None:
    event = kinds.of_json(value)
    assert event is None or isinstance(event, Event)
    if event is not None:
        unknown(1).take(event)


@given(st.binary() | st.builds(lambda depth: b"[" * depth, st.integers(0, 100_000)))
def test_any_bytes_are_read(data: bytes) -> None:
    assert all(isinstance(event, Event) for event in kinds.parse(data, lambda: None))


def test_an_event_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        EVENTS[1].step = 3  # type: ignore[attr-defined]
