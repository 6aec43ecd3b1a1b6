import io

import numpy as np
import pytest
from PIL import Image

from ardm.plots import curves


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


@pytest.mark.parametrize("points", [0, 1, 5, 500])
def test_curves_can_be_drawn_of_any_number_of_points(points):
    train = {i: 1.0 / (i + 1) for i in range(1, points + 1)}
    valid = dict.fromkeys(range(0, points, 100), (0.2, 0.01))
    evaluated = {"valid": valid, "test": {points: (0.21, 0.005)} if points > 100 else {}}
    curve = opened(curves.loss_curve(train, evaluated, "run"))
    assert (curve.format, curve.size) == ("PNG", (900, 504))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("strange", [np.nan, np.inf, 0.5])
def test_a_curve_of_strange_values_is_drawn_all_the_same(strange):
    """A plot must not end a run that diverges or makes no progress."""
    train = dict.fromkeys(range(1, 60), strange)
    assert opened(curves.loss_curve(train, {"valid": {60: (strange, 0.0)}}, "run")).format == "PNG"
    some = train | {1: 0.3, 59: 0.2}
    assert opened(curves.loss_curve(some, {}, "run")).format == "PNG"


def test_the_loss_per_step_has_a_curve_for_every_stage():
    one, several = (curves.loss_per_t(np.arange(12.0), 7, "run", 4, stages) for stages in (1, 3))
    assert one != several


@pytest.mark.parametrize("steps", [1, 2, 784])
def test_the_loss_per_step_is_drawn(steps):
    nats = np.full(steps, 0.1, np.float32)
    assert opened(curves.loss_per_t(nats, 7, "run", steps)).format == "PNG"
