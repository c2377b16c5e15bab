"""AppError as RFC 9457 problem details; what is not one of ours is a 500 without a word of the cause."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from core.errors import AppError
from core.logs import place_of

log = logging.getLogger(__name__)


def problem(status: int, detail: str, errors: list[dict[str, str]] | None = None) -> JSONResponse:
    """One problem document; `errors` names the fields that are wrong, never their values."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = errors
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "5"
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def words_of(error: dict[str, Any]) -> str:
    """What is wrong with a field; of what could not be parsed pydantic quotes a piece, which stays out."""
    message = str(error["msg"])
    return message.partition(",")[0] if str(error["type"]).endswith("_parsing") else message


def install(app: FastAPI) -> None:
    @app.exception_handler(AppError)
    def app_error(request: Request, exc: AppError) -> JSONResponse:
        return problem(exc.status, exc.message)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, exc: RequestValidationError) -> JSONResponse:
        fields = [{"field": ".".join(str(part) for part in e["loc"]), "message": words_of(e)} for e in exc.errors()]
        return problem(422, "The request is not well formed; see errors.", fields)

    @app.exception_handler(HTTPException)
    def http_error(request: Request, exc: HTTPException) -> JSONResponse:
        detail = "There is no such thing here, or you may not see it." if exc.status_code == 404 else str(exc.detail)
        answer = problem(exc.status_code, detail)
        answer.headers.update(exc.headers or {})
        return answer

    @app.exception_handler(Exception)
    def unexpected(request: Request, exc: Exception) -> JSONResponse:
        route = getattr(request.scope.get("route"), "name", "?")
        log.error("unexpected %s at %s (%s)", type(exc).__name__, route, place_of(exc.__traceback__))
        return problem(500, "Something went wrong here; nothing was changed. The operator's log has the kind of error.")
