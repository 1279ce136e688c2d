"""The certificate authorities of a setting: a PEM file, looked at when a process opens and not at its first call."""

from __future__ import annotations

import ssl
from pathlib import Path

from connectors.kit.runtime.errors import ErrorKind, MaillonError


def check_authorities(file: Path, setting: str) -> None:
    """Raise ``MaillonError(CONFIGURATION)``, naming ``setting``, for a file TLS could not take its authorities from.

    It is read as a connection will read it: PEM, one certificate or several, none of them cut or damaged.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=file)
    except ssl.SSLError:
        raise MaillonError(ErrorKind.CONFIGURATION, f"{setting}: not PEM certificates, whole ones only") from None
    except OSError as error:
        raise MaillonError(ErrorKind.CONFIGURATION, f"{setting}: {error.strerror or 'unreadable'}") from None
    if not context.cert_store_stats()["x509"]:
        raise MaillonError(ErrorKind.CONFIGURATION, f"{setting}: holds no certificate")
