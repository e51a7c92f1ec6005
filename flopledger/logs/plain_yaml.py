"""The part of YAML that programs write, as tables, lists and words.

``kubectl -o yaml`` and its like need no more. Anchors, aliases, tags and merged keys are refused, not guessed
at: a few lines of them can stand for more than any memory holds. Scalars stay words; who wants a number
reads one.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from flopledger.logs.evidence import EvidenceError

_DEPTH = 64
_EVENTS = 1_000_000


def documents(text: str, name: str) -> list[Any]:
    """Read every document of a text; raises ``EvidenceError`` for what is no plain YAML."""
    import yaml

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        return list(_built(yaml.parse(text, Loader=loader), name))
    except (yaml.YAMLError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise EvidenceError(f"{name}: this is no YAML: {said}") from error


def _built(events: Iterable[Any], name: str) -> Iterator[Any]:
    """Build documents from a parser's events, without recursion."""
    from yaml import events as kinds

    tree = _Tree(name)
    for number, event in enumerate(events):
        if number > _EVENTS:
            raise EvidenceError(f"{name}: more than {_EVENTS:,} pieces of YAML")
        if isinstance(event, kinds.NodeEvent):
            tree.check(event)
        if isinstance(event, kinds.ScalarEvent):
            tree.put(event.value if event.value or event.style else None)
        elif isinstance(event, kinds.MappingStartEvent):
            tree.begin({})
        elif isinstance(event, kinds.SequenceStartEvent):
            tree.begin([])
        elif isinstance(event, kinds.CollectionEndEvent):
            tree.end()
        elif isinstance(event, kinds.DocumentEndEvent):
            yield tree.taken()


class _Tree:
    """One document while it is built."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._root: list[Any] = []
        self._open: list[Any] = [self._root]
        self._keys: list[str | None] = []
        """Of the tables that are open, the key whose value comes next; None where a key does."""

    def check(self, event: Any) -> None:
        """Refuse what stands for something else."""
        if event.anchor is not None or getattr(event, "tag", None) is not None:
            line = event.start_mark.line + 1
            raise EvidenceError(f"{self.name}: line {line}: no plain YAML (an anchor or a tag)")

    def begin(self, holder: dict[str, Any] | list[Any]) -> None:
        """A table or a list begins."""
        if len(self._open) > _DEPTH:
            raise EvidenceError(f"{self.name}: YAML nested too deep")
        self.put(holder)
        self._open.append(holder)
        if isinstance(holder, dict):
            self._keys.append(None)

    def end(self) -> None:
        """It is over."""
        if isinstance(self._open.pop(), dict):
            self._keys.pop()

    def put(self, value: Any) -> None:
        """Put a key or a value where one is due."""
        holder = self._open[-1]
        if isinstance(holder, list):
            holder.append(value)
            return
        key, self._keys[-1] = self._keys[-1], None
        if key is not None:
            holder[key] = value
            return
        if not isinstance(value, str) or value == "<<":
            raise EvidenceError(f"{self.name}: no plain YAML (a key that is no word)")
        if value in holder:
            raise EvidenceError(f"{self.name}: the key {value[:40]!r} stands twice")
        self._keys[-1] = value

    def taken(self) -> Any:
        """Give the document, and begin another."""
        found = self._root.pop() if self._root else None
        self._root.clear()
        return found
