"""A Sigstore of our own on loopback: certificate authority, transparency log, identity token.

The real library talks to it over HTTP and checks what it issues: certificate with embedded SCT (RFC
6962), log entry with Merkle proof, signed checkpoint and signed entry timestamp.
"""

import base64
import datetime as dt
import hashlib
import http.server
import json
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jwt
import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ISSUER = "https://issuer.example"
_SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_OIDC_ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")


def token(identity: str) -> str:
    """An unverified identity, as a client sees it; only the authority would check its signature."""
    now = dt.datetime.now(dt.UTC)
    claims = {
        "iss": ISSUER, "sub": identity, "aud": "sigstore", "iat": now,
        "exp": now + dt.timedelta(minutes=5),
    }  # fmt: skip
    return jwt.encode(claims, "k" * 32, algorithm="HS256")


def _der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class StandIn:
    """The keys, and what the two services answer."""

    def __init__(self) -> None:
        self.ca, self.ct, self.log = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        self.now = dt.datetime.now(dt.UTC).replace(microsecond=0)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")])
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
            encipher_only=False, decipher_only=False,
        )  # fmt: skip
        self.root = (
            x509.CertificateBuilder()
            .subject_name(name).issuer_name(name).public_key(self.ca.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - dt.timedelta(days=1))
            .not_valid_after(self.now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self.ca.public_key()), critical=False
            )
            .sign(self.ca, hashes.SHA256())
        )  # fmt: skip
        self.bodies: list[dict[str, Any]] = []  #: what was sent to the log

    def certificate(self, request: dict[str, Any], identity: str) -> dict[str, Any]:
        """Issue a leaf for ten minutes; its SCT covers the certificate without the SCT."""
        csr = x509.load_pem_x509_csr(base64.b64decode(request["certificateSigningRequest"]))
        usage = x509.KeyUsage(
            digital_signature=True, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, key_cert_sign=False, crl_sign=False,
            encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([])).issuer_name(self.root.subject)
            .public_key(csr.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(self.now - dt.timedelta(minutes=1))
            .not_valid_after(self.now + dt.timedelta(minutes=10))
            .add_extension(usage, critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.ca.public_key()),
                critical=False,
            )
            .add_extension(
                x509.SubjectAlternativeName([x509.RFC822Name(identity)]), critical=True
            )
            .add_extension(
                x509.UnrecognizedExtension(_OIDC_ISSUER, ISSUER.encode()), critical=False
            )
        )  # fmt: skip
        plain = builder.sign(self.ca, hashes.SHA256()).tbs_certificate_bytes
        stamp = int(self.now.timestamp()) * 1000
        entry = hashlib.sha256(_der(self.ca)).digest() + struct.pack("!I", len(plain))[1:] + plain
        signed = struct.pack("!BBQH", 0, 0, stamp, 1) + entry + struct.pack("!H", 0)
        signature = self.ct.sign(signed, ec.ECDSA(hashes.SHA256()))
        sct = (
            b"\0" + hashlib.sha256(_der(self.ct)).digest() + struct.pack("!QH", stamp, 0)
            + struct.pack("!BBH", 4, 3, len(signature)) + signature
        )  # fmt: skip
        listed = struct.pack("!HH", len(sct) + 2, len(sct)) + sct
        octets = b"\x04" + (
            bytes([len(listed)]) if len(listed) < 128 else bytes([0x81, len(listed)])
        )
        leaf = builder.add_extension(
            x509.UnrecognizedExtension(_SCT_LIST, octets + listed), critical=False
        ).sign(self.ca, hashes.SHA256())
        chain = [one.public_bytes(Encoding.PEM).decode() for one in (leaf, self.root)]
        return {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}

    def entry(self, proposed: dict[str, Any]) -> dict[str, Any]:
        """Take an entry into a log of one: its own hash is the root."""
        self.bodies.append(proposed)
        body = rfc8785.dumps(proposed)
        root = hashlib.sha256(b"\0" + body).digest()
        identity = hashlib.sha256(_der(self.log)).digest()
        when = int(self.now.timestamp())
        promise = rfc8785.dumps(
            {"body": _b64(body), "integratedTime": when, "logID": identity.hex(), "logIndex": 0}
        )
        note = f"stand-in.example\n1\n{_b64(root)}\n"
        mark = identity[:4] + self._log(note.encode())
        return {
            "uuid": {
                "body": _b64(body), "integratedTime": when, "logID": identity.hex(), "logIndex": 0,
                "verification": {
                    "signedEntryTimestamp": _b64(self._log(promise)),
                    "inclusionProof": {
                        "logIndex": 0, "rootHash": root.hex(), "treeSize": 1, "hashes": [],
                        "checkpoint": f"{note}\n\u2014 stand-in.example {_b64(mark)}\n",
                    },
                },
            }
        }  # fmt: skip

    def _log(self, data: bytes) -> bytes:
        return self.log.sign(data, ec.ECDSA(hashes.SHA256()))

    def trust(self, url: str) -> dict[str, Any]:
        """The client trust configuration that leads to this instance and nowhere else."""
        since = {"start": "2020-01-01T00:00:00Z"}

        def log(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
            return {
                "baseUrl": url, "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": _b64(_der(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": since,
                },
                "logId": {"keyId": _b64(hashlib.sha256(_der(key)).digest())},
            }  # fmt: skip

        def service() -> dict[str, Any]:
            return {"url": url, "majorApiVersion": 1, "validFor": since, "operator": "stand-in"}

        certificate = {"rawBytes": _b64(self.root.public_bytes(Encoding.DER))}
        return {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [log(self.log)], "ctlogs": [log(self.ct)],
                "certificateAuthorities": [{
                    "subject": {"organization": "stand-in", "commonName": "stand-in"}, "uri": url,
                    "certChain": {"certificates": [certificate]}, "validFor": since,
                }],
            },
            "signingConfig": {
                "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                "caUrls": [service()], "oidcUrls": [service()], "rekorTlogUrls": [service()],
                "rekorTlogConfig": {"selector": "ANY"}, "tsaUrls": [],
                "tsaConfig": {"selector": "ANY"},
            },
        }  # fmt: skip


@contextmanager
def serving(identity: str) -> Iterator[tuple[StandIn, dict[str, Any]]]:
    """Run the stand-in on a free port; it certifies ``identity`` whatever the token says."""
    stand_in = StandIn()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/api/v2/signingCert":
                answer = stand_in.certificate(request, identity)
            else:
                answer = stand_in.entry(request)
            self.send_response(201)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield stand_in, stand_in.trust(f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
