"""Digits in groups: 184,320 as other languages write it, and numbers that can be read in two ways.

``2 000 000``, ``2'000'000``, ``2.000.000`` and ``20,00,000`` are one number each, and are joined. ``184.320``
may be a decimal or a thousand times that, ``1,5`` and ``184 320`` one number or two, ``1.8-2.2`` is no number
but a range. A thousandth of the hours, or the upper end of a range, would accuse or clear somebody:
such digits are veiled, so that nothing reads them, and the reader says which figures it did not take.
"""

import re

#: Spaces that typesetters put between groups, and nobody between two numbers.
_NARROW = "\u00a0\u2007\u2009\u202f"
_ONE_NUMBER = (
    re.compile(rf"(?<![\w.,])\d{{1,3}}(?:[{_NARROW}]\d{{3}})+(?!\d)"),
    re.compile(r"(?<![\w.,'\u2019])\d{1,3}(?:['\u2019]\d{3})+(?!\d)"),
    re.compile(r"(?<![\w.,])\d{1,3}(?:\.\d{3}){2,}(?!\.?\d)"),
    re.compile(r"(?<![\w.,])\d{1,2}(?:,\d{2})+,\d{3}(?!,?\d)"),
    # With plain spaces: "2 000 000", but not "128 256 512".
    re.compile(r"(?<![\w.,])(?<!\d )\d{1,3}(?: \d{3})*(?: 000)(?!,?\d)(?! \d{3}\b)"),
)
_NOT_DIGITS = re.compile(r"\D")
_MATHEMATICS = (
    (re.compile(r"(?<=\d)\{,\}(?=\d{3})"), ","),
    (re.compile(r"\\(?:num|textbf|mathbf|mathrm|text)\{([^{}]{1,60})\}"), r"\1"),
    (re.compile(r"\$(?=[\d~\\])|(?<=[\d}])\$"), ""),
)
_EXACT = r"(?!\s*(?:x\s*10|e\+?\d))"  #: a power of ten behind it tells how it is meant
_SCALED = r"(?!\s?(?:%|[kKMBT]\b|thousand|million|billion|trillion))"
_NUMBER = r"\d[\d.,]*(?:e\+?\d+)?"
_SCALE = r"\s?(?:[kKMBT]\b|thousand|million|billion|trillion)?"
_RANGE = re.compile(
    rf"(?<![\w.,^-]){_NUMBER}{_SCALE}(?:\s*[-–—]\s*|\s+to\s+|\s+or\s+){_NUMBER}(?!\w*-\d)"
    rf"|\bbetween\s+{_NUMBER}{_SCALE}\s+and\s+{_NUMBER}",
    re.I,
)
_TWO_WAYS = (
    _RANGE,
    re.compile(rf"(?<![\w.,])\d{{1,9}},(?:\d{{1,2}}|\d{{4,}})(?![\d,]){_EXACT}"),
    re.compile(r"(?<![\w.,])\d{1,3}(?: \d{3})+(?!\d)"),
)
_DOT = re.compile(rf"(?<![\w.,])[1-9]\d{{0,2}}\.\d{{3}}(?![\d.,]*\d){_EXACT}{_SCALED}")
#: Thousands parted by commas: then a dot is a decimal point.
_COMMAS = re.compile(r"(?<![\w.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=(?:\d{1,2}|\d{4,})(?!\d))")
_VEIL = str.maketrans({str(digit): chr(0xE000 + digit) for digit in range(10)})


def joined(text: str) -> str:
    """Write numbers in groups as one, where they can be nothing else; LaTeX's marks taken off."""
    if "$" in text or "\\" in text or "{,}" in text:
        for pattern, plain in _MATHEMATICS:
            text = pattern.sub(plain, text)
    for pattern in _ONE_NUMBER:
        text = pattern.sub(lambda match: _NOT_DIGITS.sub("", match[0]), text)
    return text


def parts_by_commas(text: str) -> bool:
    """Say whether a text parts thousands by commas, as English does."""
    return _COMMAS.search(text) is not None


def veiled(text: str, *, by_commas: bool) -> str:
    """Hide the digits of numbers that can be read in two ways."""
    patterns = _TWO_WAYS if by_commas else (*_TWO_WAYS, _DOT)
    for pattern in patterns:
        text = pattern.sub(lambda match: match[0].translate(_VEIL), text)
    return text


def guessed(text: str) -> str:
    """Write decimal commas as points: not to take a figure, only to tell which one was not taken."""
    return _DECIMAL_COMMA.sub(".", text)
