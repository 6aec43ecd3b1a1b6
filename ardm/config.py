"""The base class of the job file's sections, and the number types of their fields."""

import struct
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """One section of a job file.

    It is immutable. An unknown key is a fault, and so is a value of another type: nothing is
    converted. Validate with `model_validate_json`: only there may a tuple be written as a list.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,  # the schema for editors has them as descriptions
    )


FROZEN = "frozen"
"""Context of the validation of a run's own job file, which an earlier version may have accepted.
Rules that came later, and without which a run can go on, do not apply to it."""

MOST = 2**31 - 1
"""Largest step or size: the compiled programs hold them as int32."""

LARGEST_SEED = 2**32 - 1
"""Largest seed: JAX drops the upper bits, so that 2**32 would be 0."""

MOST_SHARDS = 65_536


def _in_float32(value: float) -> float:
    """Refuse a value that float32, in which programs compute, rounds to infinity, 0 or 1."""
    try:
        (rounded,) = struct.unpack("f", struct.pack("f", value))
    except OverflowError:
        rounded = float("inf")
    # Many devices treat numbers smaller than 2**-126 as 0.
    if rounded == float("inf") or (value != rounded == 1.0) or 0.0 < value < 2.0**-126:
        expected = "Expected a number that float32 does not round to 0, 1 or infinity"
        raise PydanticCustomError("float32", "{expected}", {"expected": expected})
    return value


Count = Annotated[int, Field(gt=0, le=MOST)]
CountOrZero = Annotated[int, Field(ge=0, le=MOST)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Shards = Annotated[int, Field(gt=0, le=MOST_SHARDS)]
PositiveReal = Annotated[float, Field(gt=0.0), AfterValidator(_in_float32)]
RealOrZero = Annotated[float, Field(ge=0.0), AfterValidator(_in_float32)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0), AfterValidator(_in_float32)]
"""Below 1, also in float32."""
