"""What a notebook cell shows while a run of any kind trains."""

import json

import pytest

from ardm.cells import Page
from tests.runner.invented import add_attempt, new_run, started

TEXT = {"data": {"dataset": "text"}, "model": {"net": {"kind": "transformer"}}}
AUDIO = {
    "data": {"dataset": "audio", "source": "files", "path": "/none", "length": 64},
    "model": {"net": {"kind": "dilated"}},
}


@pytest.mark.parametrize(
    ("sections", "unit", "files", "shown"),
    [
        (
            {},
            "bits/dim",
            {"00000012.png": b"\x89PNG"},
            ['<img src="data:image/png;base64,iVBORw=="'],
        ),
        (TEXT, "bits/char", {"00000012.txt": b"It <is>"}, ["<pre", ">It &lt;is&gt;</pre>"]),
        (
            AUDIO,
            "bits/sample",
            {"00000012-1.wav": b"RIFF", "00000012-2.wav": b"RIFF", "00000012.png": b"\x89PNG"},
            ['<audio controls src="data:audio/wav;base64,UklGRg=="></audio>', "<img src="],
        ),
    ],
)
def test_the_newest_samples_are_shown_with_the_unit_of_their_kind(
    tmp_path, sections, unit, files, shown
):
    run = new_run(tmp_path, **sections)
    number = add_attempt(run, started(0.0, 0.0), began=0.0)
    progress = {"attempt": number, "step": 12, "total_steps": 100, "train_nelbo_bpd": 0.5}
    run.store.write(run.progress(number), json.dumps(progress).encode())
    for name, content in {"00000004.png": b"old", "readme.txt": b"old", **files}.items():
        run.store.write(run.file("samples", name), content)
    page = Page(run, 0).draw()
    assert f"training NELBO 0.5000 {unit}" in page
    for part in shown:
        assert part in page
    assert page.count("<audio") == sum(name.endswith("wav") for name in files)
    assert "b2xk" not in page  # the old ones


def test_recordings_that_are_too_large_for_a_cell_are_left_out(tmp_path, monkeypatch):
    run = new_run(tmp_path, **AUDIO)
    run.store.write(run.file("samples", "00000012-1.wav"), bytes(100))
    run.store.write(run.file("samples", "00000012-2.wav"), bytes(10_000_000))
    assert Page(run, 0).draw().count("<audio") == 1
