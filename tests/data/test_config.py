import pytest
from pydantic import ValidationError

from ardm.data.config import DataConfig


def test_defaults_need_no_network():
    assert DataConfig() == DataConfig(dataset="binarized_mnist", source="bundled")


@pytest.mark.parametrize("section", [{"dataset": "mnits"}, {"source": "disk"}, {"path": "x"}])
def test_what_is_not_known_is_a_fault(section):
    with pytest.raises(ValidationError):
        DataConfig(**section)
