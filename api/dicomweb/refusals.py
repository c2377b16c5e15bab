"""What PS3.18 answers when it cannot: its own status codes for the errors of the core."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from core.errors import AppError, Malformed, Refused


class BadRequest(AppError):
    """The request is not well formed."""

    status = 400


class NotAcceptable(AppError):
    """None of the media types that you accept can be given."""

    status = 406


class UnsupportedMedia(AppError):
    """The body must be application/dicom, or multipart/related of it."""

    status = 415


class DicomwebRoute(APIRoute):
    """PS3.18 section 8.5: a malformed request is 400, and what cannot be made of this image is 406."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        original = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await original(request)
            except Malformed as error:
                raise BadRequest(error.message) from None
            except Refused as error:
                raise NotAcceptable(error.message) from None

        return handler
