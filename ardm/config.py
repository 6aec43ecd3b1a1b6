"""The base of every section of a job file: frozen, typed, and closed to unknown keys."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One section of a job file.

    Immutable; an unknown key is a fault; a value of another type is a fault, never converted.
    Validate JSON (`model_validate_json`): in JSON a tuple may be written as a list.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
