"""A model's attributes as they were at one time, and the model as it was then."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any

from profilers.steps.deciders.places import KEPT, Name, Place, form_of, named, read, refill, write
from profilers.steps.deciders.scopes import Variable, context_of

if TYPE_CHECKING:
    from profilers.steps.deciders.methods import Kinds
    from profilers.steps.deciders.switches import Switches


class State:
    """All attributes of a model at one time; one object for the same.

    It holds the model's dictionaries, and with them its weights, so nothing but the model's own seam may
    hold it for long.
    """

    __slots__ = (
        "__weakref__", "_bare", "_contents", "_forms", "_kinds", "_places", "_switches", "_values", "token",
    )  # fmt: skip

    def __init__(
        self,
        places: list[Place],
        values: list[Any],
        forms: dict[Name, Any],
        contents: list[tuple[Any, Any]],
        bare: list[dict[Any, Any]],
        kinds: Kinds,
        switches: Switches,
    ) -> None:
        self.token = object()
        """Stands for it where nothing may be held."""
        self._places = places
        self._values = values
        self._forms = forms
        """What tensors among them look like."""
        self._contents = contents
        """Containers and what was in them (``profilers.steps.deciders.places.content_of``)."""
        self._bare = bare
        """Where no hooks were: a model may put some there in its first forward, and would do so again."""
        self._kinds = kinds
        """Classes of the model's parts."""
        self._switches = switches

    @contextmanager
    def restored(self, changed: Mapping[Name, Any]) -> Iterator[Context]:
        """Inside, the model has these attributes again, but for some that are changed on purpose.

        In the context that it answers, context variables have their values of then, too.
        """
        undo: list[Callable[[], None]] = []
        variables: dict[Variable, Any] = {}
        try:
            self._kinds.give_back(undo)
            for container, content in self._contents:
                refill(container, content, undo)
            for table in filter(None, self._bare):
                refill(table, frozenset(), undo)
            for place, value in zip(self._places, self._values, strict=True):
                name = named(place)
                wanted = changed.get(name, value)
                present = read(place)
                if wanted is KEPT or present is wanted:
                    continue
                same = name in self._forms and form_of(present) == self._forms[name]
                if same and (name not in changed or self._switches.equal(present, wanted)):
                    continue
                if type(place[0]) is Variable:
                    variables[place[0]] = wanted
                else:
                    undo.append(partial(write, place, present))
                    write(place, wanted)
            yield context_of(variables)
        finally:
            for one in reversed(undo):
                one()
