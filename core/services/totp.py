"""One-time passwords (TOTP, RFC 6238): enrol, check each code once within one step of the clock, ten recovery codes."""

import hmac
import secrets
from datetime import timedelta
from typing import Final
from uuid import UUID

import pyotp
from sqlmodel import Session, col, delete, func, select

from core import audit
from core.clock import now_utc
from core.door_key import open_door_key
from core.errors import Conflict, Denied, Malformed, NotFound, TooMany
from core.models.people import OneTimePassword, RecoveryCode, User
from core.permissions import Actor
from core.security import secret_hash
from core.settings import Settings

STEP_S: Final = 30
RECOVERY_CODES: Final = 10
WRONG: Final = "This code is not right, or it was used already. Wait for the next one and type that."
NOTHING: Final = "There is nothing to confirm, or it took too long; begin again."
_PURPOSE: Final = "totp"
_DRAFT: Final = timedelta(minutes=15)
# RFC 4226, 7.3: six digits are only as good as the brake on guessing them.
_TRIES: Final = 5
_PAUSE: Final = timedelta(minutes=15)
_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is mistaken for another
_CODE_LENGTH: Final = 16


def is_on(session: Session, user_id: UUID) -> bool:
    row = session.get(OneTimePassword, user_id)
    return row is not None and row.confirmed_at is not None


def begin(session: Session, settings: Settings, user: User) -> None:
    """Draw a secret for this person's authenticator; it counts when a first code confirms it."""
    if settings.totp == "off":
        raise Denied("One-time passwords are not used on this node.")
    row = session.get(OneTimePassword, user.id)
    if row is not None and row.confirmed_at is not None:
        raise Conflict("A one-time password is set up already.")
    sealed = open_door_key(settings).seal(_PURPOSE, str(user.id), pyotp.random_base32().encode())
    row = row or OneTimePassword(user_id=user.id, sealed=sealed)
    row.sealed, row.created_at, row.last_step = sealed, now_utc(), 0
    session.add(row)
    session.flush()


def draft(session: Session, settings: Settings, user: User) -> str | None:
    """The secret that waits for its first code, base32; None once confirmed: it is never shown again."""
    row = session.get(OneTimePassword, user.id)
    return _secret(settings, row) if row is not None and _is_draft(row) else None


def address(settings: Settings, user: User, secret: str) -> str:
    """What an authenticator reads from the QR code (otpauth key URI)."""
    issuer = f"Sonobank {settings.site_code or settings.role}"
    return pyotp.TOTP(secret).provisioning_uri(name=user.name, issuer_name=issuer)


def confirm(session: Session, settings: Settings, user: User, code: str) -> list[str]:
    """The first code: from now on it is asked for. Returns the recovery codes, which are shown once. Raises Malformed."""
    row = _locked(session, user.id)
    if row is None or not _is_draft(row):
        raise Conflict(NOTHING)
    _check_pause(row)
    if not _takes(settings, row, code):
        _count_failure(row)
        raise Malformed(WRONG)
    row.confirmed_at, row.failures = now_utc(), 0
    audit.record(session, Actor(user.name, user.id), "totp.enrol", user.id)
    return _new_codes(session, user.id)


def check(session: Session, settings: Settings, user: User, code: str) -> None:
    """Take one code of the authenticator or one recovery code. Raises Malformed for a wrong one, TooMany.

    A failure is counted in the row: the caller answers it inside its transaction, not by rolling back."""
    row = _locked(session, user.id)
    if row is None or row.confirmed_at is None:
        raise NotFound
    _check_pause(row)
    if _takes(settings, row, code) or _takes_recovery(session, user, code):
        row.failures = 0
    else:
        _count_failure(row)
        raise Malformed(WRONG)


def renew_codes(session: Session, settings: Settings, user: User, code: str) -> list[str]:
    """Ten new recovery codes; the old ones are worth nothing from now on."""
    check(session, settings, user, code)
    audit.record(session, Actor(user.name, user.id), "totp.codes", user.id)
    return _new_codes(session, user.id)


def switch_off(session: Session, settings: Settings, user: User, code: str) -> None:
    """By the person themselves, after a code. Raises Denied where the node requires it."""
    if settings.totp == "required":
        raise Denied("This node requires a one-time password.")
    check(session, settings, user, code)
    remove(session, Actor(user.name, user.id), user.id)


def remove(session: Session, actor: Actor, user_id: UUID) -> None:
    """Switch it off, secret and recovery codes."""
    row = session.get(OneTimePassword, user_id)
    if row is None:
        raise NotFound
    session.delete(row)
    session.exec(delete(RecoveryCode).where(col(RecoveryCode.user_id) == user_id))
    audit.record(session, actor, "totp.remove", user_id)


def codes_left(session: Session, user_id: UUID) -> int:
    unused = select(func.count()).where(RecoveryCode.user_id == user_id, col(RecoveryCode.used_at).is_(None))
    return session.exec(unused).one()


def _locked(session: Session, user_id: UUID) -> OneTimePassword | None:
    """The row under its lock, as it is now: two browsers cannot use one code."""
    wanted = select(OneTimePassword).where(OneTimePassword.user_id == user_id)
    return session.exec(wanted.with_for_update().execution_options(populate_existing=True)).first()


def _is_draft(row: OneTimePassword) -> bool:
    return row.confirmed_at is None and row.created_at > now_utc() - _DRAFT


def _secret(settings: Settings, row: OneTimePassword) -> str:
    return open_door_key(settings).open(_PURPOSE, str(row.user_id), row.sealed).decode()


def _takes(settings: Settings, row: OneTimePassword, code: str) -> bool:
    """Whether this is the code of the step before, of this one or of the next, and of none that was taken."""
    digits = "".join(code.split())
    if len(digits) != 6 or not (digits.isascii() and digits.isdigit()):
        return False
    generator = pyotp.TOTP(_secret(settings, row))
    now = int(now_utc().timestamp()) // STEP_S
    for step in (now - 1, now, now + 1):
        if hmac.compare_digest(generator.generate_otp(step), digits) and step > row.last_step:
            row.last_step = step
            return True
    return False


def _takes_recovery(session: Session, user: User, code: str) -> bool:
    plain = "".join(letter for letter in code.lower() if letter not in "- ")
    if len(plain) != _CODE_LENGTH:
        return False
    wanted = select(RecoveryCode).where(
        RecoveryCode.user_id == user.id,
        RecoveryCode.code_hash == secret_hash(plain),
        col(RecoveryCode.used_at).is_(None),
    )
    found = session.exec(wanted.with_for_update()).first()
    if found is None:
        return False
    found.used_at = now_utc()
    audit.record(session, Actor(user.name, user.id), "totp.recovery", user.id)
    return True


def _check_pause(row: OneTimePassword) -> None:
    if row.blocked_until is not None and row.blocked_until > now_utc():
        raise TooMany("Too many wrong codes; wait 15 minutes.")


def _count_failure(row: OneTimePassword) -> None:
    row.failures += 1
    if row.failures % _TRIES == 0:
        row.blocked_until = now_utc() + _PAUSE


def _new_codes(session: Session, user_id: UUID) -> list[str]:
    session.exec(delete(RecoveryCode).where(col(RecoveryCode.user_id) == user_id))
    plain = ["".join(secrets.choice(_LETTERS) for _ in range(_CODE_LENGTH)) for _ in range(RECOVERY_CODES)]
    session.add_all(RecoveryCode(user_id=user_id, code_hash=secret_hash(code)) for code in plain)
    return ["-".join(code[start : start + 4] for start in range(0, _CODE_LENGTH, 4)) for code in plain]
