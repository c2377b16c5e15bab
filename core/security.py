"""Passwords (argon2id), bearer tokens and session secrets; only hashes of secrets are stored."""

import hashlib
import secrets
from functools import cache
from threading import BoundedSemaphore

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from pwdlib import PasswordHash

from core.errors import Malformed, TooMany
from core.settings import Settings

_hasher = PasswordHash.recommended()
_hashing = BoundedSemaphore(2)  # each hash takes 64 MiB

MINIMUM_PASSWORD = 12


def hash_password(password: str) -> str:
    if len(password) < MINIMUM_PASSWORD:
        raise Malformed(f"A password has at least {MINIMUM_PASSWORD} characters.")
    with _hashing:
        return _hasher.hash(password)


@cache
def _nobody() -> str:
    """A hash of nobody's password, made when first needed: hashing at import would slow every start."""
    return _hasher.hash(secrets.token_urlsafe(16))


def password_matches(password: str, stored: str | None) -> bool:
    """Takes as long for an unknown user as for a known one."""
    with _hashing:
        matches = _hasher.verify(password, stored or _nobody())
    return matches and stored is not None


def new_secret() -> tuple[str, str]:
    """(secret for its owner, hash to store)."""
    secret = secrets.token_urlsafe(32)
    return secret, secret_hash(secret)


def secret_hash(secret: str) -> str:
    """SHA-256: the secret has 256 random bits, so no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def session_cookie_name(settings: Settings) -> str:
    """`__Host-` needs TLS; on loopback HTTP the plain name is used, with the port: cookies do not know ports."""
    return "__Host-sonobank" if settings.base_url.startswith("https:") else f"sonobank-{settings.listen_port}"


class LoginThrottle:
    """Ten tries a minute for one account from one address; a hospital shares one address, so never by address alone."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._rate = RateLimitItemPerMinute(10)

    def check(self, account: str, address: str) -> None:
        """Count one try. Raises TooMany."""
        if not self._limiter.hit(self._rate, account.casefold()[:64], address):
            raise TooMany("Too many log-ins for this account from this address; wait a minute.")
