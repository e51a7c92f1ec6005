"""Reading single keys of a config.json, whose writer is not trusted."""

import re
from collections.abc import Mapping
from typing import Any

from flopcount.closed_form.dimensions import LARGEST, DimensionsError

_LARGEST_LIST = 100_000
_DECIDING = re.compile(
    r"(num|n|moe_num)_(local_|routed_|shared_)?experts|moe_top_k|num_experts_per_tok"
    r"|(moe|shared_expert|moe_shared_expert|shared)_intermediate_size|(q|kv)_lora_rank|multi_gate"
)
"""Keys that change what a model multiplies, whatever the family: no form may pass them over."""


class Fields:
    """The keys of one config.json with checks of type and size; errors name the key."""

    def __init__(
        self, config: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
    ) -> None:
        self._config = config
        self._defaults = defaults or {}
        self._read: set[str] = set()
        self.taken: dict[str, Any] = {}
        """Keys that the file leaves out, with what the library takes for them."""

    def _value(self, key: str) -> Any:
        self._read.add(key)
        if key not in self._config and key in self._defaults:
            self.taken[key] = self._defaults[key]
            return self._defaults[key]
        return self._config.get(key)

    def raw(self, key: str) -> Any:
        """Return what stands there, unchecked, or the library's own where the file leaves it out."""
        return self._value(key)

    def is_null(self, key: str) -> bool:
        """Whether a key is there and null, which is not the same as left out."""
        return key in self._config and self._config[key] is None

    def is_stated(self, key: str) -> bool:
        """Whether a key is there and says something: not null, empty or false."""
        return bool(self._value(key))

    def __contains__(self, key: str) -> bool:
        return self._value(key) is not None

    def refuse_unread(self, family: str) -> None:
        """Decline a file that states experts or ranks which the family's form never looked at.

        Raises:
            DimensionsError: one is there; the form would be that of another model.
        """
        for key, value in self._config.items():
            if key in self._read or not _DECIDING.fullmatch(str(key)):
                continue
            if value is True or (type(value) is not bool and value not in (None, 0, 1)):
                msg = (
                    f"config.json: {key} = {short(value)}: the closed form of '{family[:60]}' "
                    "does not know this key\n  use the traced count, or state the dimensions"
                )
                raise DimensionsError(msg)

    @property
    def size(self) -> int:
        """Number of keys."""
        return len(self._config)

    def integer(self, *names: str, least: int = 1) -> int:
        """Return the first of the names that is present.

        Raises:
            DimensionsError: none is there, or it is no whole number in bounds.
        """
        value = self.maybe_integer(*names, least=least)
        if value is None:
            msg = (
                f"config.json: the key '{names[0]}' is missing"
                + (f" (looked for {', '.join(names)})" if len(names) > 1 else "")
                + "\n  the model cannot be counted without it"
            )
            raise DimensionsError(msg)
        return value

    def maybe_integer(self, *names: str, least: int = 1) -> int | None:
        """Return the first of the names that is present, or None."""
        self._read.update(names)
        for name in names:
            value = self._value(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                if not (isinstance(value, float) and value.is_integer()):
                    msg = f"config.json: {name} = {short(value)}\n  expected a whole number"
                    raise DimensionsError(msg)
                value = int(value)
            if not least <= value <= LARGEST:
                msg = (
                    f"config.json: {name} = {short(value)}\n"
                    f"  expected a whole number from {least} to {LARGEST:.0e}"
                )
                raise DimensionsError(msg)
            return value
        return None

    def number(self, name: str) -> float:
        """Return a positive number.

        Raises:
            DimensionsError: there is none, or it is out of bounds.
        """
        value = self._value(name)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not 0 < value <= LARGEST
        ):
            msg = f"config.json: {name} = {short(value)}\n  expected a number above 0"
            raise DimensionsError(msg)
        return float(value)

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a true-or-false key, ``default`` (the library's own) where it is left out."""
        value = self._value(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            msg = f"config.json: {name} = {short(value)}\n  expected true or false"
            raise DimensionsError(msg)
        return value

    def text(self, name: str) -> str | None:
        """Return a string, or None where it is left out or something else."""
        value = self._value(name)
        return value if isinstance(value, str) else None

    def items(self, name: str) -> list[Any] | None:
        """Return a list, or None where it is left out.

        Raises:
            DimensionsError: something else than a list, or one of an impossible length.
        """
        value = self._value(name)
        if value is None:
            return None
        if not isinstance(value, list | tuple) or len(value) > _LARGEST_LIST:
            msg = f"config.json: {name} = {short(value)}\n  expected a list"
            raise DimensionsError(msg)
        return list(value)

    def nested(self, name: str) -> "Fields":
        """Return the object under ``name``; an empty one where it is left out."""
        value = self._value(name)
        return Fields(value if isinstance(value, Mapping) else {})

    def pair(self, name: str, default: int | None = None) -> tuple[int, int] | None:
        """Return a size that is written as one number or as two."""
        value = self._value(name)
        value = default if value is None else value
        if value is None:
            return None
        if isinstance(value, list | tuple) and len(value) == 2:
            first, second = value
        else:
            first = second = value
        checked = Fields({name: first}), Fields({name: second})
        return checked[0].integer(name), checked[1].integer(name)


def short(value: object) -> str:
    """Return what an error shows of a value that somebody wrote."""
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a huge integer"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
