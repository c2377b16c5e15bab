"""What an operator may set: environment `SONOBANK_…` or a `.env`; a node that is set wrong refuses to start and says the fix."""

import os
import re
from datetime import date, time
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dotenv import dotenv_values
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from core.errors import BadConfiguration
from core.models.people import Role as Grantable

Role = Literal["site", "relay", "central", "pacs"]
PORTS: dict[str, int] = {"site": 8000, "relay": 8010, "central": 8020, "pacs": 8030}

# Read by the script, the client and the tests; not settings of a node.
OTHER_VARIABLES = frozenset({"FAILPOINT", "FAILPOINT_LOG", "CALLER_CWD", "TOKEN", "SANDBOX_TRACE"})


ENV_FILE: Final = ".env"

# What the addresses among the settings may begin with.
_SCHEMES: Final[dict[str, tuple[str, ...]]] = {
    "database_url": ("postgresql", "postgres"),
    "vault_database_url": ("postgresql", "postgres"),
    "store_url": ("file", "s3"),
    "replica_url": ("file", "s3"),
    "public_url": ("https", "http"),
    "relay_url": ("https", "http"),
    "central_url": ("https", "http"),
    "oidc_issuer": ("https", "http"),
}
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
GroupGrant = tuple[Grantable, Annotated[str, Field(pattern=r"^(\*|[a-z][a-z0-9_]{0,31})$")]]


class Peer(BaseModel):
    """A PACS that this site may pull from, by DICOMweb (PS3.18)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")
    url: str
    token_file: Path | None = None
    user: str | None = None
    password_file: Path | None = None
    timeout_seconds: float = Field(default=30, gt=0, le=600)

    @field_validator("url")
    @classmethod
    def _http(cls, url: str) -> str:
        parts = _split(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be an http(s) address such as https://pacs.example/dicom-web")
        return url.rstrip("/")


class Window(BaseModel):
    """A low-load window; one that ends before it begins runs over midnight and belongs to the day it begins."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    days: tuple[Annotated[int, Field(ge=0, le=6)], ...] = (0, 1, 2, 3, 4, 5, 6)  # Monday is 0
    begin: time
    end: time

    @field_validator("begin", "end")
    @classmethod
    def _local(cls, moment: time) -> time:
        if moment.tzinfo is not None:
            raise ValueError("is a wall time of SONOBANK_TIME_ZONE, such as 22:00, without an offset")
        return moment


class Settings(BaseSettings):
    """One node's settings. Paths are absolute after loading."""

    model_config = SettingsConfigDict(
        env_prefix="SONOBANK_", env_file=ENV_FILE, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    role: Role
    data_dir: Path = Path("var")
    keys_dir: Path | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    public_url: str | None = None
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    database_url: str | None = Field(default=None, repr=False)
    vault_database_url: str | None = Field(default=None, repr=False)
    store_url: str | None = Field(default=None, repr=False)
    replica_url: str | None = Field(default=None, repr=False)
    site_code: str | None = Field(default=None, pattern=r"^[A-Z0-9]{2,12}$")
    time_zone: str = "Asia/Tokyo"
    domains: tuple[str, ...] = ("liver", "breast")
    demo: bool = False
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    peers_file: Path | None = None
    windows: tuple[Window, ...] = (Window(begin=time(22), end=time(6)),)
    retrieve_concurrency: int = Field(default=2, ge=1, le=16)
    retrieve_per_second: float = Field(default=200, gt=0, allow_inf_nan=False)
    retrieve_nights: int = Field(default=3, ge=1, le=30)
    chart_id_width: int = Field(default=8, ge=1, le=64)
    chart_id_issuer: str = Field(default="", max_length=64)

    release_delay_seconds: int = Field(default=600, ge=0)
    purge_days: int = Field(default=30, ge=0)
    relay_url: str | None = None
    relay_token_file: Path | None = None
    central_url: str | None = None
    central_token_file: Path | None = None
    central_keys_file: Path | None = None
    ethics_number: str | None = Field(default=None, max_length=64)
    ethics_until: str | None = Field(default=None, pattern=r"^\d{4}-\d{2}-\d{2}$")

    smtp_host: str | None = None
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_user: str | None = None
    smtp_password_file: Path | None = None
    smtp_from: str | None = Field(default=None, pattern=r"^[^\s@]+@[^\s@]+$", max_length=254)

    least_free_mb: int = Field(default=1024, ge=16)
    stalled_seconds: float = Field(default=20, ge=1, le=600)
    worker_concurrency: int = Field(default=2, ge=1, le=64)
    decode_processes: int = Field(default_factory=lambda: min(4, len(os.sched_getaffinity(0))), ge=1, le=64)
    decode_memory_mb: int = Field(default=2048, ge=512)
    poll_seconds: float = Field(default=30, gt=0, allow_inf_nan=False)

    totp: Literal["off", "optional", "required"] = "optional"
    oidc_issuer: str | None = None
    oidc_client_id: str | None = Field(default=None, max_length=200)
    oidc_client_secret_file: Path | None = None
    oidc_name: str = Field(default="OpenID Connect", min_length=1, max_length=40)
    oidc_groups: dict[str, tuple[GroupGrant, ...]] = Field(default_factory=dict)

    @field_validator(*_SCHEMES)
    @classmethod
    def _address(cls, url: str | None, info: ValidationInfo) -> str | None:
        schemes = _SCHEMES[info.field_name or ""]
        parts = _split(url) if url is not None else None
        if parts is not None and (parts.scheme not in schemes or not (parts.hostname or parts.scheme == "file")):
            raise ValueError(f"must be an address that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return url

    @field_validator("domains")
    @classmethod
    def _codes(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        if not domains or not all(re.fullmatch(r"[a-z][a-z0-9_]{0,31}", code) for code in domains):
            raise ValueError('must be a JSON list of organ domains such as ["liver","breast"]')
        return domains

    @field_validator("oidc_groups")
    @classmethod
    def _no_machines(cls, groups: dict[str, tuple[GroupGrant, ...]]) -> dict[str, tuple[GroupGrant, ...]]:
        if any(role is Grantable.MACHINE for grants in groups.values() for role, _ in grants):
            raise ValueError("a MACHINE is no person: it signs in with a token")
        return groups

    @field_validator("ethics_until")
    @classmethod
    def _day(cls, until: str | None) -> str | None:
        if until is not None:
            try:
                date.fromisoformat(until)
            except ValueError:
                raise ValueError("must be a day such as 2031-03-31") from None
        return until

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("SONOBANK_TIME_ZONE must be a name such as Asia/Tokyo") from None
        if self.role == "site" and not self.site_code:
            raise ValueError(
                "SONOBANK_SITE_CODE is needed for the role site: the code that central gave you, such as KYOTO01"
            )
        if self.database_url and self.role == "site" and not self.vault_database_url:
            raise ValueError(
                "SONOBANK_VAULT_DATABASE_URL is needed beside SONOBANK_DATABASE_URL: the vault has its own role"
            )
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("SONOBANK_TLS_CERT_FILE and SONOBANK_TLS_KEY_FILE come together, or neither")
        if (self.smtp_host is None) != (self.smtp_from is None):
            raise ValueError("SONOBANK_SMTP_HOST and SONOBANK_SMTP_FROM are set together, or neither")
        if self.smtp_host and self.smtp_security == "none" and self.smtp_host not in _LOOPBACK:
            raise ValueError("SONOBANK_SMTP_SECURITY=none is for a mail server on this machine only")
        if self.demo and self.host not in _LOOPBACK:
            raise ValueError("a demo node serves this machine only: leave SONOBANK_HOST at 127.0.0.1")
        return self

    @model_validator(mode="after")
    def _provider(self) -> Self:
        """OpenID Connect is set whole, and over TLS: plain HTTP is for this machine only."""
        if (self.oidc_issuer is None) != (self.oidc_client_id is None):
            raise ValueError("SONOBANK_OIDC_ISSUER and SONOBANK_OIDC_CLIENT_ID are set together, or neither")
        issuer = urlsplit(self.oidc_issuer or "")
        if issuer.scheme == "http" and issuer.hostname not in _LOOPBACK:
            raise ValueError("SONOBANK_OIDC_ISSUER must begin with https://")
        if (self.oidc_issuer or self.totp == "required") and self.keys_dir is None:
            raise ValueError("SONOBANK_KEYS_DIR is needed: it holds the key that seals log-ins and one-time passwords")
        return self

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def listen_port(self) -> int:
        return self.port or PORTS[self.role]

    @property
    def base_url(self) -> str:
        """Where others reach this node; links and BulkDataURIs are built from it."""
        scheme = "https" if self.tls_cert_file else "http"
        return (self.public_url or f"{scheme}://{self.host}:{self.listen_port}").rstrip("/")

    @property
    def keys(self) -> Path:
        if self.keys_dir is None:
            raise BadConfiguration(
                "SONOBANK_KEYS_DIR is not set: choose a folder outside the data folder, then `./run admin keys create`."
            )
        return self.keys_dir

    @property
    def peers(self) -> tuple[Peer, ...]:
        """The PACS of this site, from SONOBANK_PEERS_FILE (a JSON list); read again each time, so that a change counts at once."""
        if self.peers_file is None:
            return ()
        try:
            found = _PEERS.validate_json(self.peers_file.read_bytes())
        except OSError:
            raise BadConfiguration("SONOBANK_PEERS_FILE points to a file that cannot be read.") from None
        except ValidationError as exc:
            wrong = (f"{'.'.join(str(part) for part in e['loc']) or 'file'}: {_words(e['msg'])}" for e in exc.errors())
            raise BadConfiguration(f"SONOBANK_PEERS_FILE is not a JSON list of peers: {'; '.join(wrong)}") from None
        if len({peer.name for peer in found}) < len(found):
            raise BadConfiguration("SONOBANK_PEERS_FILE names a peer twice: give each a name of its own.")
        return found

    def peer(self, name: str | None) -> Peer:
        for peer in self.peers:
            if name in {None, peer.name}:
                return peer
        raise BadConfiguration("No such PACS peer: add it to SONOBANK_PEERS_FILE.")

    def url_of_store(self) -> str:
        return self.store_url or f"file://{self.data_dir / 'store'}"


def read_secret(path: Path | None, setting: str) -> str:
    """The one line of a secret file; errors name the setting, never the value."""
    if path is None:
        raise BadConfiguration(f"{setting} is not set: give the path of a file that holds the secret.")
    try:
        secret = path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise BadConfiguration(f"{setting} points to a file that cannot be read.") from None
    if not secret or not secret.isprintable():
        raise BadConfiguration(f"{setting} points to a file that does not hold one line of text.")
    return secret


_PEERS: Final = TypeAdapter(tuple[Peer, ...])


def _split(url: str) -> SplitResult:
    """Raises ValueError without the address, which may hold a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("is not a well-formed address") from None
    return parts


def _words(message: str) -> str:
    return message.removeprefix("Value error, ")


def _reasons(exc: ValidationError) -> str:
    return "; ".join(
        f"SONOBANK_{str(e['loc'][0]).upper()}: {_words(e['msg'])}" if e["loc"] else _words(e["msg"])
        for e in exc.errors()
    )


def _unparsed(exc: SettingsError) -> str:
    """The setting whose JSON could not be read; the library's own words are not repeated."""
    found = re.search(r'field "(\w+)"', str(exc))
    return f"SONOBANK_{found.group(1).upper() if found else '…'} must be JSON, as .env.example shows."


def load(**overrides: object) -> Settings:
    """Read and check the settings. Raises BadConfiguration with every problem in one message."""
    known = {name.upper() for name in Settings.model_fields} | OTHER_VARIABLES
    given = {name.upper() for name in (*os.environ, *dotenv_values(ENV_FILE))}
    unknown = sorted(n for n in given if n.startswith("SONOBANK_") and n.removeprefix("SONOBANK_") not in known)
    if unknown:
        raise BadConfiguration(
            f"Unknown settings: {', '.join(unknown)}. docs/install.md lists the known ones; remove or correct them."
        )
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as exc:
        raise BadConfiguration(_reasons(exc)) from None
    except SettingsError as exc:
        raise BadConfiguration(_unparsed(exc)) from None
    paths = {n: p.absolute() for n in ("data_dir", "keys_dir") if (p := getattr(settings, n)) is not None}
    return settings.model_copy(update=paths)
