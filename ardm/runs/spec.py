"""The job file: read, overridden with `--set`, checked at the door with all faults at once."""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import Field, NonNegativeInt, ValidationError

from ardm.config import Section
from ardm.data.config import DataConfig, describe
from ardm.errors import SpecError
from ardm.model.config import ModelConfig
from ardm.model.config import faults as model_faults
from ardm.runs.config import CheckpointConfig, ScalingConfig
from ardm.training.config import EvaluationConfig, TrainingConfig

NAME = r"^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$"


class JobSpec(Section):
    """A whole job file."""

    job: str = Field(pattern=NAME, max_length=60)
    seed: NonNegativeInt = 0
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    scaling: ScalingConfig = ScalingConfig()

    def to_yaml(self) -> str:
        """The spec as a job file, every key written out; its last line shows that it is whole."""
        text: str = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, explicit_end=True)
        return text


def load(path: str | Path, overrides: Sequence[str] = ()) -> JobSpec:
    """Read a job file.

    Args:
        path: the YAML file.
        overrides: `section.key=value` strings; a value is read as YAML.

    Raises:
        SpecError: unreadable, or with faults; it names every one of them.
    """
    source = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(source, [f"cannot be read: {error}"]) from error
    return parse(text, source, overrides)


def parse(text: str, source: str, overrides: Sequence[str] = ()) -> JobSpec:
    """Read a job file from its text; see `load`."""
    try:
        raw = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: 2024-13-01, which is no date
        raise SpecError(source, [f"not valid YAML: {error}"]) from error
    if not isinstance(raw, dict):
        raise SpecError(source, [f"expected sections such as `training:`, got {raw!r:.60}"])
    faults = list(_override(raw, overrides))
    faults += _faults(raw)
    if faults:
        raise SpecError(source, faults)
    return JobSpec.model_validate_json(json.dumps(raw, default=str))


def differences(old: JobSpec, new: JobSpec) -> list[str]:
    """Each key whose value differs, as `key: old -> new`."""
    a, b = _flatten(old.model_dump(mode="json")), _flatten(new.model_dump(mode="json"))
    return [f"{key}: {a.get(key)!r} -> {b.get(key)!r}" for key in a | b if a.get(key) != b.get(key)]


class _Loader(yaml.SafeLoader):
    """YAML 1.2 floats (`1e-3` is a number), and no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for i, key in enumerate(keys):
            if key in keys[:i]:
                where = f"line {node.value[i][0].start_mark.line + 1}"
                raise yaml.YAMLError(f"key {key!r} stands twice ({where})")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _override(raw: dict[str, Any], overrides: Sequence[str]) -> Iterator[str]:
    for item in overrides:
        key, equals, value = item.partition("=")
        if not equals or not key:
            yield f"--set {item}: expected section.key=value"
            continue
        *sections, last = key.strip().split(".")
        target = raw
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                yield f"--set {item}: {section} is not a section"
                break
        else:
            try:
                target[last] = yaml.load(value, _Loader)
            except (yaml.YAMLError, ValueError):
                yield f"--set {item}: the value is not valid YAML"


def _faults(raw: Mapping[str, Any]) -> list[str]:
    try:
        JobSpec.model_validate_json(json.dumps(raw, default=str))
        faults = []
    except ValidationError as error:
        faults = [text for fault in error.errors() for text in _sentences(fault)]
    return faults + list(_cross_faults(raw))


def _cross_faults(raw: Mapping[str, Any]) -> Iterator[str]:
    """What only shows when two sections are held together; each must be sound by itself."""
    training = _section(TrainingConfig, raw.get("training", {}))
    scaling = _section(ScalingConfig, raw.get("scaling", {}))
    data = _section(DataConfig, raw.get("data", {}))
    model = _section(ModelConfig, raw.get("model", {}))
    if training and scaling:
        fits = [n for n in range(1, training.grad_shards + 1) if training.grad_shards % n == 0]
        for count in dict.fromkeys((scaling.fewest, scaling.most)):
            if count not in fits:
                yield (
                    f"scaling.workers: {count} does not divide training.grad_shards="
                    f"{training.grad_shards}; choose from {', '.join(map(str, fits))}"
                )
    if data and model:
        yield from (f"model.{fault}" for fault in model_faults(model, *describe(data)))


def _section(kind: type[Section], raw: Any) -> Any:
    try:
        return kind.model_validate_json(json.dumps(raw, default=str))
    except ValidationError:
        return None


def _sentences(fault: Any) -> Iterator[str]:
    """One pydantic fault as sentences for a person."""
    path = [str(part) for part in fault["loc"]]
    key = ".".join(path)
    if fault["type"] == "extra_forbidden":
        names = _names(path[:-1])
        near = difflib.get_close_matches(path[-1], names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(names)}"
        yield f"{key}: unknown key; {hint}"
    elif fault["type"] == "missing":
        yield f"{key}: required, but not given"
    elif fault["type"] == "value_error":
        lines = str(fault["ctx"]["error"]).splitlines()
        yield from (f"{key}.{line}" if key else line for line in lines)
    elif fault["type"] == "string_pattern_mismatch":
        yield f"{key}: expected lower-case letters, digits, - and _, got {fault['input']!r}"
    else:
        message = fault["msg"][0].lower() + fault["msg"][1:]
        near = difflib.get_close_matches(str(fault["input"]), _choices(fault), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        yield f"{key}: {message}, got {fault['input']!r:.80}{hint}"


def _choices(fault: Any) -> list[str]:
    return re.findall(r"'([^']+)'", str(fault.get("ctx", {}).get("expected", "")))


def _names(path: Sequence[str]) -> list[str]:
    """The valid keys of the section at `path`."""
    section: Any = JobSpec
    for part in path:
        field = getattr(section, "model_fields", {}).get(part)
        if field is None:
            continue
        kinds = [field.annotation, *get_args(field.annotation)]
        section = next((k for k in kinds if hasattr(k, "model_fields")), section)
    return list(section.model_fields)


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
