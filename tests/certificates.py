"""Certificates for servers on this machine, each its own authority."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

LONG_AGO, LATER = datetime(2020, 1, 1, tzinfo=UTC), timedelta(days=365 * 80)


def make_certificate(folder: Path, name: str = "ca") -> tuple[Path, Path]:
    """A self-signed certificate for localhost and 127.0.0.1, and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    served = (x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1")))
    signed = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1, LONG_AGO, LONG_AGO + LATER)
        .add_extension(x509.SubjectAlternativeName(served), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_pem, key_pem = folder / f"{name}.pem", folder / f"{name}.key"
    certificate_pem.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key_pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_pem, key_pem
