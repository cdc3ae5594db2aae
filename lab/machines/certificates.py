"""An authority of the lab's own, and server certificates from it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab.plan.files import write_whole

VALID = timedelta(days=30)
PEM = serialization.Encoding.PEM


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority kept in a folder, made on first use."""

    folder: Path

    @property
    def file(self) -> Path:
        """Its own certificate, which clients verify servers against."""
        return self.folder / "authority.pem"

    def ensure(self) -> None:
        """Make the authority unless it is there."""
        if self.file.exists():
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        own = _sign(_NAME, key.public_key(), key, host=None)
        write_whole(self._key_file, _written(key), 0o600)
        write_whole(self.file, own.public_bytes(PEM).decode())

    def issue(self, host: str) -> tuple[str, str]:
        """A certificate for a host name and its key, both as PEM."""
        own = serialization.load_pem_private_key(self._key_file.read_bytes(), None)
        assert isinstance(own, ec.EllipticCurvePrivateKey)  # noqa: S101 - made above
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
        certificate = _sign(name, key.public_key(), own, host=host)
        return certificate.public_bytes(PEM).decode(), _written(key)

    @property
    def _key_file(self) -> Path:
        return self.folder / "authority.key"


_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab authority")])


def _written(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _sign(
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    authority: ec.EllipticCurvePrivateKey,
    *,
    host: str | None,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_NAME)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
        .add_extension(_issued_by(authority), False)
        .add_extension(_usage(signs=host is None), True)
    )
    if host is not None:
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        builder = builder.add_extension(names, False)
    return builder.sign(authority, hashes.SHA256())


def _issued_by(authority: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())


def _usage(*, signs: bool) -> x509.KeyUsage:
    """What a key may be used for; strict verifiers ask (RFC 5280, 4.2.1.3)."""
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
