"""What one reader writes down about one file."""

import re
from typing import Literal

from flopledger.facts import NAMES, Fact, Finding, Grade, Severity
from flopledger.logs import limits
from flopledger.logs.numbers import (
    is_misfit,
    is_placeholder,
    parse_count,
    parse_number,
    parse_positive,
    printed,
)

#: A word longer than this is cut: names and notes, not documents.
_WORD_CHARACTERS = 500
#: So much of a figure that cannot be one is shown, and so many of them.
_SHOWN_CHARACTERS, _SHOWN_MISFITS = 24, 5


class Notes:
    """Collects the facts and findings of one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.facts: list[Fact] = []
        self.findings: list[Finding] = []
        #: In which order the lines of a log are read, once its stamps say that they may have been moved.
        self.order: Literal["unknown", "by stamps", "as printed"] = "unknown"
        self.lost_as_printed = 0  #: steps done again in the order of print, where stamps decide
        self.dropped_facts = 0  #: beyond the limit of one file
        self.withheld: set[str] = set()  #: names that are not written down any more
        #: Places and words of figures that cannot be ones.
        self._misfits: list[tuple[str, str]] = []
        self._misfit_count = 0

    def fact(
        self,
        name: str,
        value: object,
        locator: str,
        *,
        grade: Grade = Grade.LOG,
        unit: str | None = None,
    ) -> Fact | None:
        """Write a fact down; a placeholder, a NaN or an infinity is not one and gives ``None``."""
        if isinstance(value, float):
            value = parse_number(value)
        if is_placeholder(value) or not isinstance(value, str | int | float | bool):
            return None
        if isinstance(value, str):
            value = " ".join(value.split())[:_WORD_CHARACTERS]
        if name in self.withheld:
            return None
        if len(self.facts) >= limits.FACTS_PER_FILE:
            self.dropped_facts += 1
            return None
        unit = NAMES[name][0] if name in NAMES and unit is None else unit
        fact = Fact(name=name, value=value, unit=unit, file=self.file, locator=locator, grade=grade)
        self.facts.append(fact)
        return fact

    def count(
        self,
        name: str,
        stated: object,
        locator: str,
        *,
        grade: Grade = Grade.LOG,
        unit: str | None = None,
    ) -> Fact | None:
        """Write a whole number above 0 down; what stands in the file and cannot be one will be told."""
        found = parse_count(stated)
        self.misfit(found, stated, locator)
        return self.fact(name, found, locator, grade=grade, unit=unit)

    def positive(
        self,
        name: str,
        stated: object,
        locator: str,
        *,
        grade: Grade = Grade.LOG,
        unit: str | None = None,
    ) -> Fact | None:
        """Write a number above 0 down; what stands in the file and cannot be one will be told."""
        found = parse_positive(stated)
        self.misfit(found, stated, locator)
        return self.fact(name, found, locator, grade=grade, unit=unit)

    def misfit(self, found: object, stated: object, locator: str) -> None:
        """Remember a figure that stands in the file and was not ``found`` to be one."""
        if found is not None or not is_misfit(stated):
            return
        self._misfit_count += 1
        if len(self._misfits) < _SHOWN_MISFITS:
            self._misfits.append((locator, _shown(stated)))

    def taken(self, match: re.Match[str], group: int | str, locator: str) -> str:
        """Give what a pattern took for a number, to its end; what is none then will be told."""
        word = printed(match, group)
        self.misfit(parse_number(word), word, locator)
        return word

    def tell_misfits(self) -> None:
        """Make one finding of all figures that could not be taken."""
        if not self._misfits:
            return
        shown = ", ".join(f"{place} says {word}" for place, word in self._misfits)
        more = self._misfit_count - len(self._misfits)
        self.finding(
            "figure-unread",
            "warning",
            f"{shown}{f' and {more:,} more' if more else ''}: too large, below zero, no whole number or "
            "spelt in a way that is not read; such a figure is missing, which is not 0",
            *(place for place, _ in self._misfits),
        )

    def finding(self, code: str, severity: Severity, message: str, *locators: str) -> None:
        """Write a finding down, with the places it rests on."""
        places = tuple(f"{self.file}: {locator}" for locator in locators)
        self.findings.append(
            Finding(code=code, severity=severity, message=message, evidence=places)
        )


def line(number: int) -> str:
    """Spell a line's place."""
    return f"line {number}"


def _shown(stated: object) -> str:
    """Spell what stands in the file, shortened: a number may have four thousand digits."""
    word = " ".join(str(stated).split()) if isinstance(stated, str | int | float) else repr(stated)
    if len(word) <= _SHOWN_CHARACTERS:
        return word
    return f"{word[:_SHOWN_CHARACTERS]}... ({len(word):,} characters)"
