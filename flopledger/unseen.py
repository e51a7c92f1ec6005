"""Words of strangers made safe to show, on a terminal, on a page and on paper.

What an audited party wrote may steer a terminal (escape sequences), turn the direction of reading,
hide, forge a line of ours, or be so long that it buries the verdict. Here such words are written out.
"""

import json
import re

#: Control characters, marks that turn the direction of what follows, letters and marks without a
#: shape, halves of characters, and what is no character at all.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff"
    "\U000e0000-\U000e0fff]"
)
#: A line of a stranger must not look like one of ours, so line breaks are spaces.
_BREAKS = re.compile(r"[\t\r\n]+")
_LONGEST = 2000
_WORD = 300  #: ASCII letters without a space: longer than most addresses, and no word
#: ASCII only: other scripts write whole paragraphs without a space.
_ENDLESS = re.compile(rf"[!-~]{{{_WORD + 1},}}")
_MOST_LINES = 60


def visible(text: str) -> str:
    """Give ``text`` in one line, with each unseen character written out, as ``\\u202e``.

    A text longer than any sentence is cut, and a word longer than any word: whoever wrote the
    evidence decides how long its words are.
    """
    text = _ENDLESS.sub(lambda found: _cut(found[0], _WORD), text)
    if len(text) > _LONGEST:
        text = _cut(text, _LONGEST)
    return _UNSEEN.sub(_written, _BREAKS.sub(" ", text))


def written(text: str) -> str:
    """Write unseen characters out and leave the rest, lines and tabs included, as long as it is."""
    return _UNSEEN.sub(lambda found: found[0] if found[0] in "\t\n" else _written(found), text)


def in_json(text: str) -> str:
    """Write the unseen characters of a JSON document in JSON's own escapes: the same values, visibly.

    Below a space there is only the layout, since JSON escapes those in strings itself.
    """
    return _UNSEEN.sub(
        lambda found: found[0] if found[0] < " " else json.dumps(found[0])[1:-1], text
    )


def message(text: str) -> str:
    """Give a message of ours, which goes on in lines that are set in, with a stranger's words in it."""
    first, *more = re.split(r"\n(?=  )", text)
    found = [visible(first), *(f"  {visible(one[2:])}" for one in more[:_MOST_LINES])]
    if len(more) > _MOST_LINES:
        found.append(f"  ... and {len(more) - _MOST_LINES:,} more lines")
    return "\n".join(found)


def _cut(text: str, at: int) -> str:
    return f"{text[:at]}… ({len(text) - at:,} more letters)"


def _written(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
