"""DSSE: the signature covers payload type and payload together, byte for byte.

``PAE(type, body) = "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body`` (lengths in bytes, decimal),
as https://github.com/secure-systems-lab/dsse/blob/master/protocol.md defines it. Envelopes are
written in one form and read in that form only, since what stands around a signature is not signed.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from flopledger.bundle import strict
from flopledger.bundle.errors import BundleError
from flopledger.bundle.keys import PrivateKey, PublicKey
from flopledger.digests import is_sha256

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_SIGNATURES = 64
#: Quotes of an envelope: three keys, two texts, and two keys with their texts a signature.
_QUOTES = 10 + 8 * MAX_SIGNATURES
MAX_BYTES = 24 << 20  #: the payload in base64 and the signatures


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """One signature: whose it claims to be, and its bytes."""

    key_id: str
    value: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """A payload and the signatures over it, sorted by key id."""

    payload: bytes
    signatures: tuple[Signature, ...]

    def dumps(self) -> bytes:
        """Write it in its one form."""
        return strict.dumps(
            {
                "payload": base64.b64encode(self.payload).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [
                    {"keyid": one.key_id, "sig": base64.b64encode(one.value).decode()}
                    for one in self.signatures
                ],
            }
        )

    def signed_by(self, key: PublicKey) -> bool:
        """Say whether ``key`` signed the payload; key ids only narrow the search."""
        message = pae(PAYLOAD_TYPE.encode(), self.payload)
        return any(
            key.verifies(one.value, message) for one in self.signatures if one.key_id == key.id
        )


def pae(payload_type: bytes, body: bytes) -> bytes:
    """Give the bytes that are signed."""
    return b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type, len(body), body)


def sign(payload: bytes, keys: Sequence[PrivateKey], earlier: Sequence[Signature] = ()) -> Envelope:
    """Sign ``payload`` with every key, beside signatures that it has already."""
    message = pae(PAYLOAD_TYPE.encode(), payload)
    signatures = {one.key_id: one for one in earlier}
    for key in keys:
        identity = key.public.id
        signatures[identity] = Signature(key_id=identity, value=key.sign(message))
    if len(signatures) > MAX_SIGNATURES:
        raise BundleError(f"{len(signatures)} signatures; a seal holds at most {MAX_SIGNATURES}")
    return Envelope(
        payload=payload, signatures=tuple(signatures[name] for name in sorted(signatures))
    )


def loads(data: bytes, *, what: str) -> Envelope:
    """Read an envelope, or raise ``BundleError``; any other form of the same content is refused."""
    if data.count(b'"') > _QUOTES:
        raise BundleError(f"{what}: more keys than an envelope has")
    raw = strict.loads(data, what=what, max_bytes=MAX_BYTES)
    try:
        found = raw["signatures"]
        if raw["payloadType"] != PAYLOAD_TYPE or not isinstance(found, list):
            raise BundleError(f"{what}: payload type {raw['payloadType']!r} is not {PAYLOAD_TYPE}")
        if len(found) > MAX_SIGNATURES:
            raise BundleError(f"{what}: more than {MAX_SIGNATURES} signatures")
        envelope = Envelope(
            payload=base64.b64decode(raw["payload"], validate=True),
            signatures=tuple(
                Signature(key_id=one["keyid"], value=base64.b64decode(one["sig"], validate=True))
                for one in found
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error):
        raise BundleError(f"{what}: not a DSSE envelope") from None
    ids = [str(one.key_id) for one in envelope.signatures]
    if ids != sorted(set(ids)) or not all(map(is_sha256, ids)):
        raise BundleError(f"{what}: key ids must be SHA-256 in hexadecimal, sorted, each once")
    if envelope.dumps() != data:
        raise BundleError(f"{what}: not in the canonical form of an envelope: it was changed")
    return envelope
