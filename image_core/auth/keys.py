"""Derive keys from the secret as NextAuth does: to verify sessions, and to make them in the local sign-in.

NextAuth v4 (packages/next-auth/src/jwt) and @auth/core (packages/core/src/jwt.ts): HKDF-SHA256 (RFC 5869).
"""

import base64
import hashlib

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

GCM, CBC = "A256GCM", "A256CBC-HS512"
KEY_BYTES = {GCM: 32, CBC: 64}


def v4_key(secret: str, salt: str = "") -> bytes:
    """Return the key of NextAuth v4 for A256GCM: 32 bytes. `salt` only where the front end sets one."""
    info = f"NextAuth.js Generated Encryption Key ({salt})" if salt else "NextAuth.js Generated Encryption Key"
    return _hkdf(secret, salt, info, KEY_BYTES[GCM])


def v5_key(secret: str, cookie: str, enc: str) -> bytes:
    """Return the key of Auth.js v5 for the cookie of that name: 64 bytes for A256CBC-HS512, 32 for A256GCM."""
    return _hkdf(secret, cookie, f"Auth.js Generated Encryption Key ({cookie})", KEY_BYTES[enc])


def v5_key_id(key: bytes) -> str:
    """Return the `kid` of a key as @auth/core: its JWK thumbprint (RFC 7638), with a hash of the key's own length."""
    encoded = base64.urlsafe_b64encode(key).decode().rstrip("=")
    digest = hashlib.new(f"sha{len(key) * 8}", f'{{"k":"{encoded}","kty":"oct"}}'.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _hkdf(secret: str, salt: str, info: str, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt.encode(), info=info.encode()).derive(secret.encode())
