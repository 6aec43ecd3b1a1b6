"""The base of every section of a job file, and the numbers that its fields may hold."""

import struct
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """One section of a job file.

    Immutable; an unknown key is a fault; a value of another type is a fault, never converted.
    Validate JSON (`model_validate_json`): in JSON a tuple may be written as a list.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


MOST = 2**31 - 1
"""Steps and sizes are int32 in the programs that compute them."""

LARGEST_SEED = 2**32 - 1
"""JAX drops the upper bits of a seed: 2**32 would be 0."""

MOST_SHARDS = 65_536


def _in_float32(value: float) -> float:
    """Refuse what float32, in which the programs compute, makes infinite, 0 or 1."""
    try:
        (near,) = struct.unpack("f", struct.pack("f", value))
    except OverflowError:
        near = float("inf")
    # Smaller numbers than 2**-126 are 0 on many devices.
    if near == float("inf") or (value != near and near == 1.0) or 0.0 < value < 2.0**-126:
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
