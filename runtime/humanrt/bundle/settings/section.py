"""Objects of a manifest read with checks of type and range, and the shapes that its graphs declare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from reprlib import repr as short
from typing import Any

from humanrt.bundle import MANIFEST, Bundle
from humanrt.errors import BundleError, choices

__all__ = ["MAX_COUNT", "MAX_IMAGE_SIZE", "MAX_TOKENS", "NETWORK", "REMEDY", "Section", "Shapes"]

MAX_IMAGE_SIZE = 4096
"""px, the largest side of a network's input."""
MAX_TOKENS = 4096
"""The longest text that a network takes."""
MAX_COUNT = 100_000  # of joints, vertices, people, frames
_MAX_WEIGHT = 1e3
NETWORK = "network"
REMEDY = "export the bundle again"


class Section:
    """A JSON object of a manifest, read with checks of type and range.

    Args:
        values: the object.
        where: its path in the manifest, e.g. ``settings.palm``.
        file: the manifest.

    Every method raises BundleError, naming the entry, if it is missing or not as required. ``default``: the value of a
    missing entry.
    """

    def __init__(self, values: Mapping[str, Any], where: str, file: Path) -> None:
        self._values, self._where, self._file = values, where, file

    @classmethod
    def of(cls, bundle: Bundle) -> Section:
        """Return the settings of a bundle."""
        file = bundle.path / MANIFEST
        if not isinstance(bundle.settings, Mapping):
            raise BundleError(f"{file}: `settings` must be an object; {REMEDY}")
        return cls(bundle.settings, "settings", file)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def error(self, key: str, problem: str) -> BundleError:
        """Return the error that refuses an entry."""
        where = f"{self._where}.{key}"
        return BundleError(f"{self._file}: `{where if len(where) < 120 else short(where)}` {problem}; {REMEDY}")

    def section(self, key: str) -> Section:
        """Read an object."""
        return self._section(key, self._get(key))

    def sections(self, key: str, default: Sequence[Section] | None = None) -> Sequence[Section]:
        """Read a list of objects."""
        if default is not None and key not in self:
            return default
        return [self._section(f"{key}.{index}", value) for index, value in enumerate(self._list(key))]

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """Read a finite number from ``low`` to ``high``."""
        if default is not None and key not in self:
            return default
        return self._number(key, self._get(key), low, high)

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """Read a whole number from ``low`` to ``high``; 8.0 counts as one."""
        if default is not None and key not in self:
            return default
        return self._integer(key, self._get(key), low, high)

    def numbers(
        self, key: str, count: int, low: float, high: float, default: tuple[float, ...] | None = None
    ) -> tuple[float, ...]:
        """Read a list of ``count`` finite numbers."""
        if default is not None and key not in self:
            return default
        return self._numbers(key, self._get(key), count, low, high)

    def rows(self, key: str, rows: int, columns: int, low: float, high: float) -> tuple[tuple[float, ...], ...]:
        """Read a list of lists of finite numbers."""
        values = self._list(key, rows)
        return tuple(self._numbers(f"{key}.{i}", value, columns, low, high) for i, value in enumerate(values))

    def integers(
        self, key: str, low: int, high: int, count: int | None = None, default: tuple[int, ...] | None = None
    ) -> tuple[int, ...]:
        """Read a list of whole numbers, of length ``count`` if given."""
        if default is not None and key not in self:
            return default
        return tuple(
            self._integer(f"{key}.{index}", value, low, high) for index, value in enumerate(self._list(key, count))
        )

    def text(self, key: str, default: str | None = None) -> str:
        """Read a string: one line, not empty."""
        if default is not None and key not in self:
            return default
        return self._text(key, self._get(key))

    def texts(self, key: str, count: int | None = None, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Read a list of distinct strings, of length ``count`` if given."""
        if default is not None and key not in self:
            return default
        texts = tuple(self._text(f"{key}.{index}", value) for index, value in enumerate(self._list(key, count)))
        if len(set(texts)) < len(texts):
            raise self.error(key, f"names {short(next(t for t in texts if texts.count(t) > 1))} twice")
        return texts

    def choice(self, key: str, known: Sequence[str]) -> str:
        """Read one of the known strings."""
        value = self._get(key)
        if value not in known:
            raise self.error(key, f"is {short(value)}; this version has: {choices(known)}")
        return str(value)

    def weights(self, key: str, count: int) -> tuple[tuple[int, float], ...]:
        """Read an object that maps indices below ``count`` to weights, as (index, weight) pairs."""
        values = self._get(key)
        if not isinstance(values, Mapping) or not values:
            raise self.error(key, f"must map indices to weights, not {short(values)}")
        pairs = []
        for index, weight in values.items():
            if not (isinstance(index, str) and index.isascii() and index.isdigit() and int(index[:9]) < count):
                raise self.error(key, f"has the key {short(index)}; keys must be indices below {count}")
            pairs.append((int(index), self._number(f"{key}.{index}", weight, -_MAX_WEIGHT, _MAX_WEIGHT)))
        return tuple(pairs)

    def _get(self, key: str) -> Any:
        if key not in self._values:
            raise self.error(key, "is missing")
        return self._values[key]

    def _section(self, key: str, value: Any) -> Section:
        if not isinstance(value, Mapping):
            raise self.error(key, f"must be an object, not {short(value)}")
        return Section(value, f"{self._where}.{key}", self._file)

    def _list(self, key: str, count: int | None = None) -> list[Any]:
        value = self._get(key)
        if not isinstance(value, list | tuple):
            raise self.error(key, f"must be a list, not {short(value)}")
        if count is not None and len(value) != count:
            raise self.error(key, f"has {len(value)} entries, not {count}")
        if len(value) > MAX_COUNT:
            raise self.error(key, f"has {len(value)} entries; at most {MAX_COUNT} are possible")
        return list(value)

    def _number(self, key: str, value: Any, low: float, high: float) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:  # NaN: neither
            raise self.error(key, f"must be a number from {low:g} to {high:g}, not {short(value)}")
        return float(value)

    def _integer(self, key: str, value: Any, low: int, high: int) -> int:
        whole = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        if not whole or value != int(value):
            raise self.error(key, f"must be a whole number from {low} to {high}, not {short(value)}")
        return int(value)

    def _numbers(self, key: str, value: Any, count: int, low: float, high: float) -> tuple[float, ...]:
        if not isinstance(value, list | tuple) or len(value) != count:
            raise self.error(key, f"must be a list of {count} numbers, not {short(value)}")
        return tuple(self._number(f"{key}.{index}", one, low, high) for index, one in enumerate(value))

    def _text(self, key: str, value: Any) -> str:
        if not isinstance(value, str) or not value or not value.isprintable() or len(value) > 1000:
            raise self.error(key, f"must be one line of text, not {short(value)}")
        return value


class Shapes:
    """The declared shapes of a graph's inputs and outputs, checked against what a pipeline relies on."""

    def __init__(self, bundle: Bundle, graph: str) -> None:
        spec = bundle.graph(graph)
        self._where = f"{bundle.path / MANIFEST}: graph `{spec.name}`"
        self._tensors = {tensor.name: tensor for tensor in (*spec.inputs, *spec.outputs)}

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def of(self, name: str, *shape: int | str, dtype: str = "float32") -> tuple[int, ...]:
        """Return a tensor's shape, which must match ``shape``; a string there names a dimension of any size above 0."""
        tensor = self._tensors.get(name)
        if tensor is None:
            raise BundleError(f"{self._where} has no `{name}`; {REMEDY}")
        same = len(tensor.shape) == len(shape) and all(
            size >= 1 if isinstance(wanted, str) else size == wanted
            for size, wanted in zip(tensor.shape, shape, strict=True)
        )
        if not same or tensor.dtype != dtype:
            needed = ", ".join(map(str, shape))
            raise BundleError(
                f"{self._where}: `{name}` is {tensor.dtype} {short(list(tensor.shape))}; the settings need {dtype} "
                f"[{needed}]; {REMEDY}"
            )
        return tensor.shape
