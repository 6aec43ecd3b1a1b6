import io

import numpy as np
import pytest
from PIL import Image

from ardm.model import policy
from ardm.plots.curves import policy_curve
from ardm.training.estimates import Estimate
from ardm.training.policy_costs import Measured

L = np.linspace(0.7, 0.1, 100)


def invented(kind, starts):
    nats = policy.expected_nelbo(starts, L)
    bpd = nats / (100 * np.log(2))
    estimate = Estimate(bpd, nats, 0.01, 0.7, 50, 1)
    extra = Estimate(bpd - L.sum() / (100 * np.log(2)), nats - L.sum(), 0.002, 0.1, 50, 1)
    return Measured(kind, starts, nats, bpd, estimate, extra)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("budgets", [[], [1], [10], [2, 5, 10, 20, 50, 99]])
def test_any_number_of_policies_can_be_drawn(budgets):
    measured = [invented("sequential", policy.uniform(100, 100))]
    for budget, starts in policy.optimal(L, budgets).items():
        measured[-1:-1] = [
            invented("optimal", starts),
            invented("uniform", policy.uniform(100, budget)),
        ]
    picture = Image.open(io.BytesIO(policy_curve(measured, "run, step 7")))
    assert picture.format == "PNG"
    assert picture.width == 900
    assert np.asarray(picture.convert("L")).std() > 5
