import shutil

import numpy as np
import pytest
from PIL import Image

from ardm.errors import InputError
from ardm.runner import attempt, prepare
from ardm.runner.context import Context, HeadStart, Notice
from ardm.runner.prepare import Preparation
from ardm.store.run_directory import Run
from ardm.training.group import Alone
from tests.data.published import random_images
from tests.runner.setting import opened, tiny_spec

pytestmark = pytest.mark.slow


def draw(folder):
    """A folder of twenty pictures, and what is on them."""
    folder.mkdir(exist_ok=True)
    images = random_images(20, (4, 4, 3))
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:02d}.png")
    return images


def test_a_run_trains_on_the_images_and_with_the_changes_that_its_job_names(tmp_path):
    images = draw(tmp_path)
    spec = tiny_spec(
        "data.dataset=images",
        "data.source=files",
        f"data.path={tmp_path}",
        "data.augment={flip: true}",
    )
    data, model = prepare.load(opened(str(tmp_path / "store"), spec=spec), spec, 0.0)
    assert (model.shape, model.classes) == ((4, 4, 3), 256)
    batches = prepare.work(spec, data, model, Alone()).batches
    plain = prepare.work(tiny_spec(), data, model, Alone()).batches
    symmetric = {data.tobytes() for image in images for data in (image, image[:, ::-1])}
    dealt = np.concatenate([batches[step] for step in range(8)])
    assert {image.tobytes() for image in dealt} <= symmetric
    flipped = (dealt != np.concatenate([plain[step] for step in range(8)])).any(axis=(1, 2, 3))
    assert 0 < flipped.sum() < len(dealt)


def begun(run: Run, head_start: HeadStart) -> Preparation:
    """What a spare process prepares for a run."""
    attempt.get_ready(run, head_start)
    preparation = head_start.take()
    assert preparation
    return preparation


def context(preparation: Preparation | None) -> Context:
    """Where an attempt runs in a process that has prepared something before."""
    head_start = HeadStart()
    if preparation:
        head_start.begin(lambda: preparation)
    return Context(Alone(), Notice(), head_start=head_start)


def test_what_was_begun_before_the_attempt_is_taken_over_once(tmp_path):
    spec = tiny_spec()
    run = opened(str(tmp_path), spec=spec)
    ahead = begun(run, HeadStart())
    again, here = opened(str(tmp_path), spec=spec), context(ahead)
    assert prepare.begin(again, spec, here) is ahead
    assert prepare.begin(again, spec, here) is not ahead
    assert ahead.ready().config == spec.training


def test_what_was_begun_for_something_else_or_has_failed_is_not_taken(tmp_path):
    spec, other = tiny_spec(), tiny_spec("training.learning_rate=2e-3")
    run = opened(str(tmp_path), spec=spec)
    ahead = begun(run, HeadStart())
    assert prepare.begin(run, other, context(ahead)) is not ahead
    another = opened(str(tmp_path), "tiny-2", spec)
    assert prepare.begin(another, spec, context(ahead)) is not ahead
    pictures = tmp_path / "pictures"
    draw(pictures)
    missing = tiny_spec("data.dataset=images", "data.source=files", f"data.path={pictures}")
    shutil.rmtree(pictures)
    failed = Preparation(run, missing, Alone(), 0.0)
    with pytest.raises(InputError):
        failed.ready()
    assert prepare.begin(run, missing, context(failed)) is not failed


def test_a_process_that_trains_begins_nothing_beside_it(tmp_path):
    spec = tiny_spec()
    run = opened(str(tmp_path), spec=spec)
    here = context(None)
    prepare.begin(run, spec, here)
    attempt.get_ready(run, here.head_start)
    assert here.head_start.take() is None
