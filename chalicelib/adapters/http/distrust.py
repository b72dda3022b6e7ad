"""Why a certificate is not trusted, in words for who has to make another one."""

from __future__ import annotations

import ssl
from typing import Final

# OpenSSL's numbers for what only its strict check finds (X509_V_FLAG_X509_STRICT): Python 3.13 asks for that check, and
# so do functions on Lambda. Public CAs pass it. CAs of a company often leave an extension out.
_STRICT_CODES: Final = range(80, 94)


def distrust(error: ssl.SSLCertVerificationError) -> str:
    """What is wrong with the certificate, and where the rule is one that Python 3.11 does not have, that."""
    said = f"the certificate is not trusted: {error.verify_message}"
    if error.verify_code in _STRICT_CODES:
        return f"{said} (RFC 5280 asks for it, and Python 3.13 and later insist)"
    return said
