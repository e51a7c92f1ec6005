"""What one reader writes down about one file."""

from typing import Literal

from flopledger.facts import NAMES, Fact, Finding, Grade, Severity
from flopledger.logs import limits
from flopledger.logs.numbers import is_placeholder, parse_number

#: A word longer than this is cut: names and notes, not documents.
_WORD_CHARACTERS = 500


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

    def finding(self, code: str, severity: Severity, message: str, *locators: str) -> None:
        """Write a finding down, with the places it rests on."""
        places = tuple(f"{self.file}: {locator}" for locator in locators)
        self.findings.append(
            Finding(code=code, severity=severity, message=message, evidence=places)
        )


def line(number: int) -> str:
    """Spell a line's place."""
    return f"line {number}"
