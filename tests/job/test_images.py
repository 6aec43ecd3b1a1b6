"""How a job file gets to know the shape of its images."""

import numpy as np
import pytest
from PIL import Image

from ardm import load_job
from ardm.cli.jobs import validate
from ardm.data.folder import Folder
from ardm.errors import SpecError
from ardm.job.spec import parse


@pytest.fixture
def job(tmp_path):
    """A job file on a folder of images that are 6 wide and 4 high."""
    (tmp_path / "images").mkdir()
    for number in range(20):
        pixels = np.full((4, 6, 3), number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    data = f"data: {{dataset: images, source: files, path: {tmp_path}/images}}"
    model = "model: {net: {multipliers: [1, 1], attention: []}}"
    (tmp_path / "job.yaml").write_text(f"job: a\n{data}\n{model}\n")
    return tmp_path / "job.yaml"


@pytest.fixture
def listings(monkeypatch):
    """The folders that were listed."""
    listed = []
    listing = Folder.listing

    def counted(folder, *args, **kwargs):
        listed.append(folder.url)
        return listing(folder, *args, **kwargs)

    monkeypatch.setattr(Folder, "listing", counted)
    return listed


def test_the_shape_is_measured_once_and_stands_in_the_frozen_file(job, listings):
    spec = load_job(job)
    assert spec.data.shape == (4, 6, 3)
    assert len(listings) == 1
    assert parse(spec.to_yaml(), "frozen") == spec
    assert len(listings) == 1


def test_a_text_that_is_parsed_and_a_shape_that_is_given_list_nothing(job, listings):
    assert parse(job.read_text(), "job.yaml").data.shape is None
    assert load_job(job, ["data.shape=[4, 6, 3]"]).data.shape == (4, 6, 3)
    assert listings == []


def test_to_validate_a_job_lists_its_images_to_measure_and_to_read_them(job, listings):
    validate([job])
    assert len(listings) == 2
    listings.clear()
    validate([job], ["data.shape=[4, 6, 3]"])
    assert len(listings) == 1


def test_what_does_not_fit_the_measured_shape_is_told_with_all_other_faults(job, listings):
    options = ["data.augment.quarter_turns=true", "training.steps=0", "scaling.workers=3"]
    with pytest.raises(SpecError) as caught:
        load_job(job, options)
    assert [fault.partition(":")[0] for fault in caught.value.faults] == [
        "data.augment.quarter_turns", "training.steps"
    ]  # fmt: skip
    with pytest.raises(SpecError) as caught:
        load_job(job, ["model.net.multipliers=[1, 1, 1]", "seed=-1", "scaling.workers=3"])
    assert [fault.partition(":")[0] for fault in caught.value.faults] == [
        "seed", "model.net.multipliers", "scaling.workers"
    ]  # fmt: skip
    assert len(listings) == 2


def test_images_that_cannot_be_measured_are_one_fault_among_others(job):
    with pytest.raises(SpecError) as caught:
        load_job(job, ["data.path=/no/such", "scaling.workers=3"])
    measured, divides = caught.value.faults
    assert measured.startswith("data.path: /no/such: expected a folder, found none")
    assert divides.startswith("scaling.workers: 3 does not divide")
