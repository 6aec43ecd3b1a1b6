import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow


def saved(pixels, name):
    Image.fromarray(np.asarray(pixels, np.uint8)).save(name)
    return name


def test_images_are_completed_from_a_region(here, pulled):
    options = ("--images", "2", "--completions", "3", "--keep", "centre", "--budget", "6")
    result = here.json("inpaint", "trained", *options)
    assert (result["run"], result["step"], len(result["digest"])) == ("trained", 24, 64)
    assert (result["images"], result["completions"], result["pixels_given"]) == (2, 3, 14 * 14)
    assert (result["steps"], result["policy"]) == (6, "optimal")
    one = np.asarray(Image.open(result["png"]))
    assert one.shape == (29 + 2 * 120, 8 + 5 * 120 + 16, 3)
    here("inpaint", str(pulled), *options, "--out", "two.png")
    np.testing.assert_array_equal(one, np.asarray(Image.open("two.png")))
    for number, other in enumerate([("--seed", "1"), ("--split", "test")]):
        here("inpaint", "trained", *options, *other, "--out", f"other-{number}.png")
        assert not np.array_equal(one, np.asarray(Image.open(f"other-{number}.png")))


def test_an_image_file_is_completed_from_a_mask(here):
    image = saved(np.eye(28) * 255, "x.png")
    mask = np.zeros((28, 28))
    mask[3:9, 3:9] = 255
    options = ("--image", image, "--mask", saved(mask, "m.png"), "--steps", "5")
    done = here("inpaint", "trained", *options, "--completions", "1", "--out", "out.png")
    message = "1 image, 36 of 784 pixels given, completed in 1 way by step 24 (digest"
    assert message in done.stderr
    assert "in 5 network calls (uniform): out.png" in done.stderr
    assert Image.open("out.png").size == (8 + 3 * 120 + 16, 29 + 120)


@pytest.mark.parametrize(
    ("options", "messages"),
    [
        (
            ("--image", "small.png", "--mask", "black.png"),
            [
                "expected a picture 28 pixels wide",
                "9 wide and 8 high",
                "black everywhere, which gives nothing",
            ],
        ),
        (("--mask", "white.png"), ["white everywhere, which hides nothing"]),
        (("--keep", "middle"), ["'middle': choose from top-half"]),
        (("--keep", "centre", "--mask", "m.png"), ["--mask m.png and --keep centre exclude"]),
        (("--image", "x.png", "--images", "3"), ["--image x.png and --images 3 exclude"]),
        (("--budget", "400"), ["a budget of 400 network calls: choose from 1 to 392"]),
        (("--temperature", "-1"), ["temperature -1.0: expected a positive number"]),
    ],
)
def test_invalid_input_is_reported(here, options, messages, tmp_path):
    saved(np.eye(8, 9) * 255, "small.png")
    saved(np.zeros((28, 28)), "black.png")
    saved(np.full((28, 28), 255), "white.png")
    stderr = here("inpaint", "trained", *options, code=2).stderr
    for message in messages:
        assert message in stderr
    assert not (tmp_path / "trained-24-inpaint.png").exists()


def test_an_upscale_model_completes_images(here, staged):
    result = here.json("inpaint", staged.name, "--images", "2", "--budget", "6", "--out", "s.png")
    assert (result["pixels_given"], result["steps"], result["policy"]) == (8, 6, "optimal")
    assert Image.open("s.png").format == "PNG"
    done = here("inpaint", staged.name, "--images", "1", "--out", "s.png")
    assert "in 16 network calls (sequential)" in done.stderr
