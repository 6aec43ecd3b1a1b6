"""The tree of a job file's sections, in which paths are looked up."""

from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

from ardm.config import Section
from ardm.job.yaml_tree import Keys


class Sections:
    """The sections below a root section.

    Where a key may hold sections of several kinds, such as `model.net`, pydantic inserts the kind
    into the path of a fault: `model.net.unet.patch`. Both forms of a path are accepted here.

    Args:
        root: the class of the whole job file.
    """

    def __init__(self, root: type[Section]) -> None:
        self._root = root

    def names(self, path: Keys) -> list[str]:
        """The valid keys of the section at a path; empty if there is no section."""
        classes, _ = self._walk(path)
        return list(dict.fromkeys(name for section in classes for name in section.model_fields))

    def is_section(self, path: Keys) -> bool:
        """Whether a path leads to a section."""
        return bool(self._walk(path)[0])

    def written(self, path: Keys) -> Keys:
        """A path as it is in the job file, without kinds."""
        return self._walk(path)[1]

    def _walk(self, path: Keys) -> tuple[list[type[Section]], Keys]:
        """The possible classes of the section at a path, and the path without kinds."""
        classes, written = [self._root], []
        for part in path:
            kinds = [section for section in classes if _kind(section) == part]
            if kinds and len(classes) > 1:
                classes = kinds
                continue
            written.append(part)
            fields = [s.model_fields[part] for s in classes if part in s.model_fields]
            classes = [section for field in fields for section in _classes(field.annotation)]
        return classes, tuple(written)


def _kind(section: type[Section]) -> Any:
    field = section.model_fields.get("kind")
    return field and field.default


def _classes(annotation: Any) -> Iterator[type[Section]]:
    """The section classes among the types that a field accepts."""
    if get_origin(annotation) is Annotated:
        yield from _classes(get_args(annotation)[0])
    elif isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    elif get_origin(annotation) is not None:
        for choice in get_args(annotation):
            yield from _classes(choice)
