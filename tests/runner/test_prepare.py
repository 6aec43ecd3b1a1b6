import shutil

import numpy as np
import pytest
from PIL import Image

from ardm.errors import InputError
from ardm.runner import attempt, prepare
from ardm.training.group import Alone
from tests.data.published import random_images
from tests.runner.setting import opened, tiny_spec

pytestmark = pytest.mark.slow


@pytest.fixture
def idle(monkeypatch):
    """This process as one that has no attempt yet."""
    monkeypatch.setattr(prepare, "AHEAD", prepare.Ahead())


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


@pytest.mark.usefixtures("idle")
def test_what_was_begun_ahead_of_time_is_taken_over_once(tmp_path):
    spec = tiny_spec()
    run = opened(str(tmp_path), spec=spec)
    ahead = attempt.get_ready(run)
    again = opened(str(tmp_path), spec=spec)
    assert prepare.begin(again, spec, Alone(), 0.0) is ahead
    assert prepare.begin(again, spec, Alone(), 0.0) is not ahead
    assert ahead.ready().config == spec.training


@pytest.mark.usefixtures("idle")
def test_what_was_begun_for_something_else_or_has_failed_is_not_taken(tmp_path, monkeypatch):
    spec, other = tiny_spec(), tiny_spec("training.learning_rate=2e-3")
    run = opened(str(tmp_path), spec=spec)

    def begun_for(run, spec):
        monkeypatch.setattr(prepare, "AHEAD", prepare.Ahead())
        return prepare.AHEAD.begin(run, spec)

    ahead = begun_for(run, spec)
    assert prepare.begin(run, other, Alone(), 0.0) is not ahead
    ahead = begun_for(run, spec)
    assert prepare.begin(opened(str(tmp_path), "tiny-2", spec), spec, Alone(), 0.0) is not ahead
    pictures = tmp_path / "pictures"
    draw(pictures)
    missing = tiny_spec("data.dataset=images", "data.source=files", f"data.path={pictures}")
    shutil.rmtree(pictures)
    ahead = begun_for(run, missing)
    with pytest.raises(InputError):
        ahead.ready()
    assert prepare.begin(run, missing, Alone(), 0.0) is not ahead


@pytest.mark.usefixtures("idle")
def test_at_work_nothing_is_begun_ahead_of_time(tmp_path):
    spec = tiny_spec()
    run = opened(str(tmp_path), spec=spec)
    prepare.begin(run, spec, Alone(), 0.0)
    assert attempt.get_ready(run) is None
