"""Figures and labels that are not what they look like.

A space without width inside ``10 00.0`` makes ten of a thousand; a mark that turns the direction of
reading shows other figures than are there; a digit of another script is one to a person and none to most
programs; a Cyrillic letter inside a label hides its figure. What has no width is taken out, so that a figure
is read as it is seen; digits of other scripts are no figures here, and nothing beside a mark of direction is
one. Where that touches a figure, the file says so.
"""

import re

_NO_WIDTH = "\u00ad\u061c\u180e\u200b-\u200f\u2060-\u2064\ufeff"
_DIRECTION = "\u202a-\u202e\u2066-\u2069"
_SEEN_BY_NOBODY = _NO_WIDTH + _DIRECTION
_HIDDEN = re.compile(f"[{_NO_WIDTH}]")
_NO_FIGURE = re.compile(rf"[{_DIRECTION}]|[^\D0-9]")
"""Marks of direction, and digits other than 0 to 9."""
_CYRILLIC = "\u0400-\u04ff"
_ANY = re.compile(rf"[{_SEEN_BY_NOBODY}{_CYRILLIC}]|[^\D0-9]")
_MISLEADING = re.compile(
    rf"[^\D0-9]|(?<=[0-9.,])[{_SEEN_BY_NOBODY}]|[{_SEEN_BY_NOBODY}](?=[0-9.,])"
    rf"|(?<=[A-Za-z])[{_CYRILLIC}]|[{_CYRILLIC}](?=[A-Za-z])"
)
FINDING = "disguised-figures"
TOLD = (
    "{count} lines hold digits of other scripts, characters that nobody sees beside figures, or Cyrillic "
    "letters inside Latin words: such digits and labels are not read, and unseen characters were taken out"
)


def stand_in(text: str) -> bool:
    """Say whether there is anything of that kind in a text at all."""
    return _ANY.search(text) is not None


def mislead(text: str) -> bool:
    """Say whether it touches a figure or a label."""
    return _MISLEADING.search(text) is not None


def plain(text: str) -> str:
    """Give the text as it is seen, without digits that are none here."""
    return _NO_FIGURE.sub("\ufffd", _HIDDEN.sub("", text))
