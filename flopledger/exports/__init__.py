"""What others ask for: the documents of the EU rules, bills of materials, a model card's section.

Each is a pure function of an ``AuditReport``. A field that the audit does not know says "not known"
and what it would take; nothing is filled in that nobody stated.
"""

from flopledger.exports.forms import FORMATS, Format, render

__all__ = ["FORMATS", "Format", "render"]
