import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ardm import strict_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@given(VALUES)
def test_no_text_holds_a_number_that_json_does_not_have(value):
    read = json.loads(strict_json.dumps(value), parse_constant=refuse)
    assert read == strict_json.finite(value)


def test_only_what_is_not_finite_becomes_null():
    value = {"a": [float("nan"), 1.5, (float("-inf"), np.float64("inf"))], "b": {"c": "NaN"}}
    assert strict_json.finite(value) == {"a": [None, 1.5, [None, None]], "b": {"c": "NaN"}}
