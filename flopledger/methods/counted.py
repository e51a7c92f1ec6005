"""Counted: the real architecture behind a config.json, traced on the meta device.

No weights, no download, no remote code. Needs the ``trace`` extra; without it, or for an
architecture that cannot be built, the route is left out and a finding says why.
"""

from dataclasses import dataclass
from importlib.util import find_spec

from flopcount import FlopcountError
from flopledger.facts import Finding
from flopledger.methods.models import COUNTED_SIGMA, SIX_ND_SIGMA, Costed, Model
from flopledger.methods.work import SampleCost

#: Long enough for a trace where the case gives no sequence length; attention is then left out.
_PROBE_SEQUENCE = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class Traced:
    """A traced cost, or the reason why there is none."""

    costed: Costed | None
    findings: tuple[Finding, ...] = ()


def cost(model: Model, sequence: int | None) -> Traced:
    """Trace one sample of ``sequence`` tokens, forward and backward."""
    assert model.config is not None
    if find_spec("torch") is None or find_spec("transformers") is None:
        message = (
            f"{model.place}: not traced, torch or transformers is missing "
            "(pip install 'flopledger[trace]'); the closed form stands alone"
        )
        return Traced(costed=None, findings=(_finding("trace-missing", message, model),))
    from flopcount import architectures

    length = sequence or _PROBE_SEQUENCE
    try:
        result = architectures.count_config(model.config, batch=1, sequence=length)
    except architectures.Unsupported as error:
        message = f"{model.place}: {error}"
        return Traced(
            costed=None, findings=(_finding("architecture-not-countable", message, model),)
        )
    return Traced(costed=_costed(model, result, sequence, length), findings=())


def _costed(model: Model, result: object, sequence: int | None, length: int) -> Costed:
    raise NotImplementedError


def _finding(code: str, message: str, model: Model) -> Finding:
    return Finding(code=code, severity="warning", message=message, evidence=(model.place,))


_ = (COUNTED_SIGMA, SIX_ND_SIGMA, SampleCost, FlopcountError)
