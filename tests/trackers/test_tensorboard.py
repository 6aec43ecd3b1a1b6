"""TensorBoard's files, as TensorBoard itself reads them."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ardm.runner import uploads
from ardm.runner.uploads import Uploads
from ardm.store.retry import Deadline
from ardm.store.run_directory import Run
from ardm.trackers.tracker import About, Picture, Record, Scalar, Text

ABOUT = About("digits", "digits-0123", {"training.steps": 60, "job": "digits"}, "job: digits\n")


def png() -> bytes:
    out = io.BytesIO()
    Image.new("L", (8, 6), 77).save(out, "PNG")
    return out.getvalue()


def attempt(run: Run, number: int, first: int, records: list[Record]) -> None:
    files = Uploads(run, number)
    files.begin(first, ABOUT)
    for record in records:
        files.add(record)
    files.end(Deadline(60.0))
    files.close()


def scalars(steps: range) -> list[Record]:
    return [Scalar("train/nelbo_bpd", step, 1000.0 + step, 1 / step) for step in steps]


def read(run: Run) -> Any:
    # It takes much memory.
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = Path(run.store.path(f"{run.name}/tensorboard"))
    seen = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    seen.Reload()
    return seen


def test_the_curve_is_one_although_steps_were_lost_and_taken_again(local_run: Run) -> None:
    attempt(local_run, 1, 1, scalars(range(1, 51)))
    attempt(local_run, 2, 31, scalars(range(31, 45)))
    attempt(local_run, 3, 21, scalars(range(21, 61)))
    curve = read(local_run).Scalars("train/nelbo_bpd")
    assert [point.step for point in curve] == list(range(1, 61))
    assert [point.value for point in curve] == pytest.approx([1 / n for n in range(1, 61)])


def test_what_is_kept_before_a_commit_is_in_the_store_although_the_attempt_is_killed(
    local_run: Run,
) -> None:
    files = Uploads(local_run, 1)
    files.begin(1, ABOUT)
    for start in range(1, 41, 10):
        for record in scalars(range(start, start + 10)):
            files.add(record)
        files.keep_records()
        seen = read(local_run).Scalars("train/nelbo_bpd")
        assert [point.step for point in seen] == list(range(1, start + 10))
    files.end(Deadline(60.0))
    files.close()


def test_a_long_attempt_in_several_files_is_one_curve(
    local_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "PART", 500)
    files = Uploads(local_run, 1)
    files.begin(1, ABOUT)
    for start in range(1, 101, 20):
        for record in scalars(range(start, start + 20)):
            files.add(record)
        files.do_what_is_due()
        monkeypatch.setattr(uploads, "PAUSE_LOCAL", 0.0)
    files.end(Deadline(60.0))
    files.close()
    assert [p.step for p in read(local_run).Scalars("train/nelbo_bpd")] == list(range(1, 101))


def test_pictures_texts_and_the_job_are_shown(local_run: Run) -> None:
    shown: list[Record] = [
        Picture("samples", 10, 1.0, png()),
        Text("texts", 10, 1.0, "    It is a truth"),
    ]
    attempt(local_run, 1, 1, [*scalars(range(1, 3)), *shown])
    seen = read(local_run)
    (picture,) = seen.Images("samples")
    assert (picture.step, picture.width, picture.height) == (10, 8, 6)
    (text,) = seen.Tensors("texts/text_summary")
    assert text.tensor_proto.string_val[0] == b"    It is a truth"
    (job,) = seen.Tensors("job/text_summary")
    assert b"job: digits" in job.tensor_proto.string_val[0]
    assert "hparams" in seen.SummaryMetadata("_hparams_/session_start_info").plugin_data.plugin_name
