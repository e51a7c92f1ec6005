"""The losses that a log prints: two trainings never print the same ones.

Stamps, names and rates are changed in a minute. A loss follows from data, weights and the order of sums, so
the same values in the same order, to three decimals and more, are one training told twice (or one that was
started again from one state with everything else alike, which is worth a question, too).
"""

import hashlib
import re

#: With three decimals or more; fewer repeat by themselves.
_LOSS = re.compile(
    rb"loss[\"']?\s{0,3}[:=|]?\s{0,3}[\"']?(\d{1,4}\.\d{3,17}(?:[eE][+-]\d{1,3})?)", re.I
)
_MOST = 2_000  #: losses of one file that are looked at
ALIKE = 20  #: losses in a row that are no coincidence
_DISTINCT = 10  #: of them, so that "0.000" twenty times is nothing


def stretches(head: bytes) -> frozenset[bytes]:
    """Give a digest of every ``ALIKE`` losses in a row that the beginning of a log prints.

    Logs that share one print the same losses in the same order somewhere.
    """
    printed: list[bytes] = []
    for match in _LOSS.finditer(head):
        if not printed or printed[-1] != match[1]:  # ranks print a loss again
            printed.append(match[1])
        if len(printed) >= _MOST:
            break
    rows = (printed[end - ALIKE : end] for end in range(ALIKE, len(printed) + 1))
    return frozenset(_digest(row) for row in rows if len(set(row)) >= _DISTINCT)


def _digest(row: list[bytes]) -> bytes:
    return hashlib.blake2b(b"\n".join(row), digest_size=12).digest()
