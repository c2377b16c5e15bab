"""Who may do what: users, their grants, API tokens, browser sessions and second factors."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlmodel import Field, SQLModel

from core.ids import uuid7
from core.models.base import Created, Moment


class Role(StrEnum):
    """Codes as in the society's role list; ADMIN manages people and tokens, MACHINE is a sending node."""

    EXAM = "EXAM"
    CUR = "CUR"
    REG = "REG"
    SITEPI = "SITEPI"
    LINK = "LINK"
    SITEIT = "SITEIT"
    XFER = "XFER"
    PTDESK = "PTDESK"
    DOM = "DOM"
    CENOP = "CENOP"
    DAC = "DAC"
    CLDOP = "CLDOP"
    AIDEV = "AIDEV"
    AUD = "AUD"
    VEND = "VEND"
    ADMIN = "ADMIN"
    MACHINE = "MACHINE"


class User(SQLModel, table=True):
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    name: str = Field(unique=True, max_length=64)
    password_hash: str | None = None
    site: str | None = Field(default=None, max_length=12, description="the one site that a MACHINE speaks for")
    disabled_at: datetime | None = Moment(default=None)
    seen_at: datetime | None = Moment(default=None)
    created_at: datetime = Created()


class Grant(SQLModel, table=True):
    """A role on this node, for one organ domain or for all ("*")."""

    __table_args__ = (UniqueConstraint("user_id", "role", "domain"),)
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    user_id: UUID = Field(foreign_key="user.id", index=True, ondelete="CASCADE")
    role: Role = Field(sa_type=TEXT)
    domain: str = Field(default="*", max_length=32)
    by_group: bool = Field(default=False, description="given by a group of the OpenID provider, at each log-in anew")


class ApiToken(SQLModel, table=True):
    """A bearer token: only its SHA-256 is kept. It never allows more than its user may."""

    __tablename__ = "api_token"
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    user_id: UUID = Field(foreign_key="user.id", index=True, ondelete="CASCADE")
    label: str = Field(max_length=64)
    token_hash: str = Field(unique=True, max_length=64)
    scopes: list[str] = Field(sa_type=ARRAY(TEXT))
    expires_at: datetime = Moment()
    revoked_at: datetime | None = Moment(default=None)
    created_at: datetime = Created()


class WebSession(SQLModel, table=True):
    """A browser's session; the cookie carries the secret of which only the SHA-256 is here."""

    __tablename__ = "web_session"
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    user_id: UUID = Field(foreign_key="user.id", index=True, ondelete="CASCADE")
    secret_hash: str = Field(unique=True, max_length=64)
    seen_at: datetime = Moment()
    expires_at: datetime = Moment()


class ExternalIdentity(SQLModel, table=True):
    """An account at the OpenID provider: issuer and subject never change, names do."""

    __tablename__ = "external_identity"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    user_id: UUID = Field(foreign_key="user.id", index=True, ondelete="CASCADE")
    issuer: str = Field(max_length=400)
    subject: str = Field(max_length=255)
    created_at: datetime = Created()


class OneTimePassword(SQLModel, table=True):
    """The secret of a person's authenticator, sealed by the door's key. It counts from `confirmed_at` on."""

    __tablename__ = "one_time_password"
    user_id: UUID = Field(foreign_key="user.id", primary_key=True, ondelete="CASCADE")
    sealed: bytes
    confirmed_at: datetime | None = Moment(default=None)
    last_step: int = Field(default=0, sa_type=BigInteger, description="of the last code that was taken: each once")
    failures: int = 0
    blocked_until: datetime | None = Moment(default=None)
    created_at: datetime = Created()


class RecoveryCode(SQLModel, table=True):
    """One of ten codes for somebody who lost their authenticator; 80 random bits, so a plain hash is enough."""

    __tablename__ = "recovery_code"
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    user_id: UUID = Field(foreign_key="user.id", index=True, ondelete="CASCADE")
    code_hash: str = Field(unique=True, max_length=64)
    used_at: datetime | None = Moment(default=None)


class HalfSignIn(SQLModel, table=True):
    """Somebody whose password was right and whose second step is to come; the cookie carries the secret."""

    __tablename__ = "half_sign_in"
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    user_id: UUID = Field(foreign_key="user.id", index=True, ondelete="CASCADE")
    secret_hash: str = Field(unique=True, max_length=64)
    tries: int = 0
    expires_at: datetime = Moment()
