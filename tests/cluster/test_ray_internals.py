"""The private names of Ray that ardm uses are there."""

import pytest
import ray

from ardm.cluster import _ray  # private: what is tested here

WHAT_TO_DO = (
    f"Ray {ray.__version__} is not as Ray {_ray.READ_IN} was read. See what took the place of it, "
    "change `ardm/cluster/_ray.py` and the file that it names, and run the tests marked `cluster`."
)


@pytest.mark.parametrize("name", sorted(_ray.NAMES))
def test_a_private_name_is_where_it_was_read(name: str) -> None:
    try:
        found = getattr(_ray, name)
    except (ImportError, AttributeError) as error:
        pytest.fail(f"{name}: {error}. {WHAT_TO_DO}")
    missing = [method for method in _ray.METHODS.get(name, ()) if not hasattr(found, method)]
    assert not missing, f"{name} has no {missing}. {WHAT_TO_DO}"


def test_another_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="not among the private names of Ray"):
        _ray.anything  # noqa: B018
