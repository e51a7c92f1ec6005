"""Slips of units: prefixes, hours for seconds, a node for its devices. Whatever the run is."""

from collections.abc import Iterable

from flopledger.fingerprints.fingerprint import Fingerprint

_PREFIXES = {
    3: "thousands for units",
    6: "millions for units",
    9: "billions for units",
    12: "teraFLOP for FLOP",
    15: "petaFLOP for FLOP",
    18: "exaFLOP for FLOP",
    21: "zettaFLOP for FLOP",
}


def _prefixes() -> Iterable[Fingerprint]:
    for power, words in _PREFIXES.items():
        for sign in (1, -1):
            yield Fingerprint(
                code="unit-ambiguity",
                factor=10.0 ** (sign * power),
                tolerance=0.1,
                reason=f"a slip of a metric prefix of 10^{sign * power} ({words}, or the reverse)",
            )


#: Slips of units, whatever the run is.
UNITS = (
    *_prefixes(),
    Fingerprint(
        code="unit-ambiguity",
        factor=1 / 8.64e19,
        tolerance=0.3,
        reason="petaFLOP/s-days were written as FLOP",
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=1 / 86_400,
        tolerance=0.3,
        reason="FLOP/s-days (such as petaFLOP/s-days) were taken for FLOP of the same prefix",
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=86_400.0,
        tolerance=0.3,
        reason="FLOP were taken for FLOP/s-days of the same prefix",
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=1 / 3600,
        tolerance=0.05,
        reason="hours were taken for seconds",
    ),
    Fingerprint(
        code="unit-ambiguity", factor=1 / 24, tolerance=0.05, reason="days were taken for hours"
    ),
    Fingerprint(
        code="unit-ambiguity", factor=24.0, tolerance=0.05, reason="hours were taken for days"
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=1 / 8,
        tolerance=0.05,
        reason="a node's compute or hours stand for those of its 8 devices",
        weight=-0.5,
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=8.0,
        tolerance=0.05,
        reason="hours of a node taken for hours of each of its 8 devices, or 8 ranks that each "
        "reported the node",
        weight=-0.5,
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=4 / 3,
        tolerance=0.03,
        reason="tokens stated where words were counted",
        weight=-1.5,
    ),
    Fingerprint(
        code="unit-ambiguity",
        factor=3 / 4,
        tolerance=0.03,
        reason="words stated where tokens were counted",
        weight=-0.5,
    ),
)
