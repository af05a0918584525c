"""Signing: OpenDSR answers and reports of status carry a signature that a controller checks with the processor's certificate."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kundig.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from cryptography import x509

    from kundig.config.load import Config

DOMAIN, SIGNATURE = "X-OpenDSR-Processor-Domain", "X-OpenDSR-Signature"
LEAST_BITS = 2_048
_KEY = "kundig.toml, privacy.private_key"
_CERTIFICATE = "kundig.toml, privacy.certificate"
_MAKE = "docs/privacy.md says how to make a key and its certificate"


@dataclass(frozen=True, kw_only=True, slots=True)
class Signer:
    """A key with its certificate, and the domain that the certificate is of."""

    domain: str
    chain: bytes
    """The certificate and those that it rests on, as PEM, and nothing else."""
    sign: Callable[[bytes], bytes] = field(repr=False)
    """The signature of bytes: RSA with SHA-256 and the padding of PKCS #1 v1.5."""

    def headers(self, body: bytes) -> Mapping[str, str]:
        """The headers of an answer or a report whose body is exactly these bytes."""
        return {DOMAIN: self.domain, SIGNATURE: base64.b64encode(self.sign(body)).decode()}


def signer(config: Config) -> Signer | None:
    """Who signs here; None where kundig.toml names no key.

    Raises:
        ConfigError: The key or the certificate cannot be read, the two do not belong together, or the domain is not one of the certificate.
        MissingExtra: `cryptography` is not installed.
    """
    settings = config.settings.privacy
    if not settings.private_key:
        return None
    try:
        from cryptography import x509
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import padding, rsa
    except ModuleNotFoundError as error:
        raise MissingExtra("webhooks", purpose="signing OpenDSR answers") from error
    try:
        private = serialization.load_pem_private_key(config.secret(settings.private_key).strip().encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError("the key that signs OpenDSR answers is no private key in PEM, or is locked with a password", at=_KEY, mend=_MAKE) from None
    if not isinstance(private, rsa.RSAPrivateKey) or private.key_size < LEAST_BITS:
        raise ConfigError(f"the key that signs OpenDSR answers must be one of RSA with {LEAST_BITS} bits or more", at=_KEY, mend=_MAKE)
    place = config.path(settings.certificate)
    try:
        chain = x509.load_pem_x509_certificates(place.read_bytes())
    except OSError as error:
        raise ConfigError(f"the certificate '{settings.certificate}' cannot be read: {error.strerror}", at=_CERTIFICATE, mend=_MAKE) from None
    except ValueError:
        raise ConfigError(f"'{settings.certificate}' holds no certificate in PEM", at=_CERTIFICATE, mend=_MAKE) from None
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if chain[0].public_key().public_bytes(*form) != private.public_key().public_bytes(*form):
        raise ConfigError(f"the first certificate of '{settings.certificate}' is not of the key that signs", at=_CERTIFICATE, mend="put the certificate of the key first, those that it rests on behind it")
    return Signer(
        domain=_domain(settings.domain, _names(chain[0])), chain=b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain),
        sign=lambda body: private.sign(body, padding.PKCS1v15(), hashes.SHA256()),
    )  # fmt: skip


def _names(certificate: x509.Certificate) -> list[str]:
    """Domains that a certificate is of: its alternative names, else its common name."""
    from cryptography import x509

    try:
        named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        named = [str(one.value) for one in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    return [one.lower() for one in named]


def _domain(given: str, names: list[str]) -> str:
    """The domain that is told: the one given, which the certificate must be of, else the certificate's first that is no pattern."""
    domain = given.lower() or next((one for one in names if "*" not in one), "")
    if domain and (domain in names or f"*.{domain.partition('.')[2]}" in names):
        return domain
    what = f"the certificate is not of the domain '{domain}'" if domain else "the certificate names no domain of its own"
    raise ConfigError(what, at="kundig.toml, privacy.domain", mend=f"set a domain that it is of; it names: {', '.join(names) or 'none'}")
