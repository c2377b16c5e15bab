"""One tree of errors: the HTTP status lives in the class, its docstring is the default message.

Messages are shown to people and kept in job rows: they never carry a patient's value, a file name from outside or str(exc)."""


class AppError(Exception):
    """Something went wrong."""

    status = 400

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip().splitlines()[0])

    @property
    def message(self) -> str:
        return str(self.args[0])


class Malformed(AppError):
    """The request is not well formed."""

    status = 422


class NotAuthenticated(AppError):
    """Log in, or send a valid token."""

    status = 401


class Denied(AppError):
    """You may not do this."""

    status = 403


class NotFound(AppError):
    """There is no such thing here, or you may not see it."""

    status = 404


class Conflict(AppError):
    """Someone else changed this meanwhile; load it again."""

    status = 409


class WrongState(Conflict):
    """This step is not allowed in the present state."""


class TooMany(AppError):
    """Too many tries; wait a little."""

    status = 429


class Refused(AppError):
    """This file or package is refused."""

    status = 422


class Held(Refused):
    """De-identification stopped: a person must look."""


class Unavailable(AppError):
    """A part of the system does not answer now; the work waits and is tried again."""

    status = 503


class BadConfiguration(AppError):
    """The settings are wrong."""

    status = 500
