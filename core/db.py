"""The engine and the one way to commit: a named transaction with a failpoint before and after."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.errors import UniqueViolation
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, SQLAlchemyError, TimeoutError
from sqlmodel import Session

from core import failpoints
from core.errors import Conflict, Malformed, Unavailable

DRIVER = "postgresql+psycopg"


def make_engine(url: str, pool_size: int = 8) -> Engine:
    """An engine whose errors never print parameters: they may be a patient's values."""
    url = url.replace("postgres://", "postgresql://", 1).replace("postgresql://", f"{DRIVER}://", 1)
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=16,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={"connect_timeout": 10},
    )


@contextmanager
def transaction(engine: Engine, name: str) -> Iterator[Session]:
    """One short transaction. `name` is its failpoint: the process can be killed just before and just after the commit.

    Raises Unavailable when the database is gone or busy, so that a door says so and a job is tried again; Malformed for a
    value that no column can hold (NUL in text, a number too large); Conflict when somebody was quicker."""
    try:
        with Session(engine, expire_on_commit=False) as session:
            yield session
            session.flush()
            failpoints.hit(f"{name}:before-commit")
            session.commit()
    except _TROUBLE as exc:
        raise _in_our_words(exc) from None
    failpoints.hit(f"{name}:after-commit")


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A short look: whatever is changed in it is rolled back. Raises Unavailable when the database is gone."""
    try:
        with Session(engine, expire_on_commit=False) as session:
            yield session
    except _TROUBLE as exc:
        raise _in_our_words(exc) from None


_TROUBLE = (OperationalError, TimeoutError, DataError, IntegrityError)


def _in_our_words(exc: SQLAlchemyError) -> Exception:
    """The database quotes the value that it refuses, so its words stay here. What is a fault of ours stays one."""
    if isinstance(exc, DataError):
        return Malformed("A value cannot be stored: it is too large or holds a character that is not text.")
    if isinstance(exc, IntegrityError):
        return Conflict() if isinstance(exc.orig, UniqueViolation) else exc
    return Unavailable("The database does not answer; the work waits and is tried again.")


def ping(engine: Engine) -> None:
    """Raise Unavailable unless the database answers."""
    with reading(engine) as session:
        session.execute(text("SELECT 1"))
