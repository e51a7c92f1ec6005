"""Sealed evidence: a file that stands up in a hearing.

A bundle is a zip of fixed form: case, evidence (or salted digests of what is withheld), facts,
report, and the digests of the data tables, under an in-toto Statement in a signed DSSE envelope.
The same inputs give the same bytes; ``docs/reference/evidence-format.md`` lets anybody check one
with unzip, sha256sum and openssl.

from flopledger import bundle

bundle.generate_key(Path("."))                                     # flopledger.key, flopledger.pub
bundle.seal_case(case, keys=[bundle.load_private(path)], out=Path("evidence.zip"))
checked = bundle.verify(Path("evidence.zip"), trusted=[bundle.load_public(path)], recompute=True)
checked.ok                  # every digest, chain and signature holds, and a trusted key signed
checked.problems            # what does not hold: file, what was found, what was sealed
checked.signers             # key ids, each with whether it is among the trusted ones
checked.audit               # the sealed ``audit --json`` as plain values, or None
checked.summary             # the site's summary: digests, device-seconds, FLOP intervals, windows
bundle.merge([Path("a.zip"), Path("b.zip")], out=Path("all.zip"))  # totals over sites, one verdict

``verify`` never raises for a hostile or damaged bundle: what is wrong stands in ``problems`` and
``ok`` is False. It raises ``BundleError`` only where nothing can be checked at all (no such file,
a key that is none). Content is handed out (``checked.audit``, ``checked.summary``) only where the seal holds.

The modules, each in the order in which it is best read:

**The form** (design/085, 086). ``archive`` (the zip), ``names``, ``statement`` (what is signed),
``envelope``, ``keys``, ``strict`` (JSON of strangers), ``schema``, ``errors``.

**Sealing.** ``sealing``, ``contents``, ``writing``; runs' folders ``records``; a site's ``summary``; by
identity, ``transparency``.

**Withholding** (design/087). ``redaction``, ``taking``, ``redacted_report``, ``leaks``, ``reveal``.

**Verifying.** ``verification``, ``vouching``, ``tree``; the audit again ``recompute``, ``recompute_part``,
``recompute_page``.

**Merging** (design/088). ``merging``, ``members``, ``merged_result`` over ``counted_once`` and ``totals``.

A test holds this list to the folder.
"""

from typing import TYPE_CHECKING, Any

from flopledger.bundle.errors import BundleError

if TYPE_CHECKING:
    from flopledger.bundle.keys import (
        PrivateKey,
        PublicKey,
        generate_key,
        load_private,
        load_public,
    )
    from flopledger.bundle.merging import Merged, merge
    from flopledger.bundle.redaction import Policy, redact
    from flopledger.bundle.sealing import Sealed, seal_case, seal_record, seal_report
    from flopledger.bundle.transparency import Expected
    from flopledger.bundle.verification import Problem, Verification, verify

__all__ = [
    "BundleError",
    "Expected",
    "Merged",
    "Policy",
    "PrivateKey",
    "Problem",
    "PublicKey",
    "Sealed",
    "Verification",
    "generate_key",
    "load_private",
    "load_public",
    "merge",
    "redact",
    "seal_case",
    "seal_record",
    "seal_report",
    "verify",
]

#: Name -> module that holds it: verifying needs neither numpy nor the audit.
_LATER = {
    "PrivateKey": "keys",
    "PublicKey": "keys",
    "generate_key": "keys",
    "load_private": "keys",
    "load_public": "keys",
    "Merged": "merging",
    "merge": "merging",
    "Policy": "redaction",
    "redact": "redaction",
    "Sealed": "sealing",
    "seal_case": "sealing",
    "seal_record": "sealing",
    "seal_report": "sealing",
    "Expected": "transparency",
    "Problem": "verification",
    "Verification": "verification",
    "verify": "verification",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is asked for."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"flopledger.bundle.{_LATER[name]}"), name)
