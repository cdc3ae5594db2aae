"""A company's own authority, as old ones are: without key identifiers."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Company:
    """The certificates of a company, and a server's that its lower authority issued."""

    file: Path
    """The server's key and chain."""

    root: str
    lower: str
    server: ssl.SSLContext


def company(folder: Path, host: str = "localhost") -> Company:
    """A root, an authority below it, and a server, whose host may be an address."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    root = _signed("company root", keys[0], "company root", keys[0], is_authority=True)
    lower = _signed(
        "company lower", keys[1], "company root", keys[0], is_authority=True
    )
    server = _signed(host, keys[2], "company lower", keys[1], is_authority=False)
    file = folder / "server.pem"
    key = keys[2].private_bytes(
        PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(key + server + lower)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return Company(file, root.decode(), lower.decode(), context)


def _signed(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    is_authority: bool,
) -> bytes:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), True)
    )
    if not is_authority:
        names = x509.SubjectAlternativeName([_host(subject)])
        builder = builder.add_extension(names, False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(PEM)


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
