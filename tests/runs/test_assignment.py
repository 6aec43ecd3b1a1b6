import numpy as np
from PIL import Image

from ardm.runs import assignment
from ardm.training.group import Alone
from tests.data.published import random_images
from tests.runs.setting import opened, tiny_spec


def test_a_run_trains_on_the_images_and_with_the_changes_that_its_job_names(tmp_path):
    images = random_images(20, (4, 4, 3))
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number:02d}.png")
    spec = tiny_spec(
        "data.dataset=images",
        "data.source=files",
        f"data.path={tmp_path}",
        "data.augment={flip: true}",
    )
    data, model = assignment.load(opened(str(tmp_path / "store"), spec=spec), spec)
    assert (model.shape, model.classes) == ((4, 4, 3), 256)
    batches = assignment.work(spec, data, model, Alone()).batches
    plain = assignment.work(tiny_spec(), data, model, Alone()).batches
    symmetric = {data.tobytes() for image in images for data in (image, image[:, ::-1])}
    dealt = np.concatenate([batches[step] for step in range(8)])
    assert {image.tobytes() for image in dealt} <= symmetric
    flipped = (dealt != np.concatenate([plain[step] for step in range(8)])).any(axis=(1, 2, 3))
    assert 0 < flipped.sum() < len(dealt)
