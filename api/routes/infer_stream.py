"""WebSocket /api/v1/infer/stream: live frames in, boxes out; docs/inference.md has every message.

The newest frame wins: while the model looks at one frame, one other waits at most, and those that it pushed out are counted."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast
from urllib.parse import urlsplit
from uuid import uuid4

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.routes.infer import DOMAIN
from core import audit
from core.db import transaction
from core.errors import AppError, Malformed, NotAuthenticated, TooMany
from core.inference.client import RESEARCH, Follow, Pixels
from core.inference.newest import Newest, Waiting
from core.node import Node
from core.permissions import ALL_DOMAINS, Actor, Verb, check
from core.security import session_cookie_name
from core.services import accounts, inference

router = APIRouter(prefix="/api/v1", tags=["inference"])
LARGEST_FRAME: Final = 16 << 20
FIRST_WORD_SECONDS: Final = 2.0
CHECK_SECONDS: Final = 60.0
MOST_STREAMS: Final = 8
MOST_PER_SECOND: Final = 240
# Codes of RFC 6455 section 7.4.1; 4401 and 4403 are as their namesakes in HTTP.
POLICY, TRY_LATER, NOT_SIGNED_IN, FORBIDDEN = 1008, 1013, 4401, 4403


class Start(BaseModel):
    """What the frames are that follow; `token` where neither a header nor a browser's session says who sends them."""

    model_config = ConfigDict(extra="ignore")
    type: Literal["start"]
    format: Literal["jpeg", "png", "rgb8", "grey8"]
    rows: int = Field(default=0, ge=0, le=1 << 15)
    columns: int = Field(default=0, ge=0, le=1 << 15)
    domain: str = Field(default=ALL_DOMAINS, pattern=DOMAIN)
    threshold: float | None = Field(default=None, ge=0, le=1)
    follow: bool = False
    token: str | None = Field(default=None, max_length=200)


@dataclass
class Stream:
    """One connection: its sender, what its frames are, and the newest of them."""

    socket: WebSocket
    node: Node
    start: Start
    newest: Newest
    frames: int = 0
    since: float = 0.0
    key: str = field(default_factory=lambda: uuid4().hex)
    followed: int | None = None  # the frame that was looked at last under this key

    async def read(self) -> None:
        """Take every message as it comes; a frame that cannot wait takes the place of the one that does."""
        while True:
            message = await self.socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if (content := message.get("bytes")) is not None:
                self.frames += 1
                self._check_rate()
                self.newest.put(Waiting(self.frames, content, time.monotonic()))
            else:
                self.start = _start(message.get("text") or "")
                self.key, self.followed = uuid4().hex, None

    def _check_rate(self) -> None:
        if self.frames % MOST_PER_SECOND:
            return
        now = time.monotonic()
        if now - self.since < 1:
            raise TooMany("More than 240 frames came within a second.")
        self.since = now

    async def answer(self) -> None:
        """Look at the newest frame, say what is on it, and again."""
        while True:
            frame = await self.newest.take()
            told: dict[str, Any] = {"type": "boxes", "frame": frame.number}
            try:
                follow = self._follow(frame.number)
                one = await run_in_threadpool(self._look, frame.content, follow)
                told |= {"boxes": one.boxes, "ms": one.ms, "rows": one.rows, "columns": one.columns, "model": one.model}
                told |= {} if one.lesions is None else {"lesions": one.lesions}
                told |= {} if one.border is None else {"border": one.border}
            except AppError as trouble:
                told |= {"type": "error", "status": trouble.status, "message": trouble.message}
            told |= {"total_ms": round((time.monotonic() - frame.came) * 1000, 2), "dropped": self.newest.dropped}
            await self.socket.send_text(json.dumps(told | {"notice": RESEARCH}))

    def _follow(self, number: int) -> Follow | None:
        if not self.start.follow:
            return None
        passed = number - self.followed if self.followed else 1
        self.followed = number
        return Follow(self.key, passed)

    def _look(self, content: bytes, follow: Follow | None) -> inference.Look:
        if len(content) > LARGEST_FRAME:
            raise Malformed("A frame of a stream may have at most 16 MiB.")
        pixels = self._pixels(content)
        return inference.look(self.node, pixels, self.start.domain, self.start.threshold, follow=follow)

    def _pixels(self, content: bytes) -> Pixels:
        if self.start.format in inference.RAW:
            return inference.pixels_of_raw(content, self.start.format, self.start.rows, self.start.columns)
        return inference.pixels_of_picture(self.node.sandbox, content)


@router.websocket("/infer/stream")
async def infer_stream(socket: WebSocket) -> None:
    """Who may: a token with the scope `infer`, in the header or in the first message, or a browser's session of this origin."""
    node = cast(Node, socket.app.state.node)
    if not _is_own_origin(socket):
        await socket.close(FORBIDDEN)
        return
    await socket.accept()
    streams: set[WebSocket] = socket.app.state.streams
    if len(streams) >= MOST_STREAMS:
        await _refuse(socket, TRY_LATER, "Too many live streams are open on this node; try again later.")
        return
    streams.add(socket)
    try:
        await _serve(socket, node)
    except WebSocketDisconnect:
        pass
    except AppError as trouble:
        code = {401: NOT_SIGNED_IN, 403: FORBIDDEN}.get(trouble.status, POLICY)
        await _refuse(socket, code, trouble.message)
    finally:
        streams.discard(socket)


async def _serve(socket: WebSocket, node: Node) -> None:
    try:
        start = _start(await asyncio.wait_for(socket.receive_text(), FIRST_WORD_SECONDS))
    except (TimeoutError, KeyError):
        raise Malformed(
            "The first message says what the frames are, within 2 seconds; see docs/inference.md."
        ) from None
    who = _who(socket, start)
    await run_in_threadpool(_let_in, node, who, start.domain)
    models = (await run_in_threadpool(node.inference.status))["models"]
    ready = {"type": "ready", "notice": RESEARCH, "models": models, "largest_frame": LARGEST_FRAME}
    await socket.send_text(json.dumps(ready))
    stream = Stream(socket, node, start, Newest())
    works = [asyncio.create_task(work) for work in (stream.read(), stream.answer(), _check_again(node, who, stream))]
    try:
        done, _ = await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
        for work in done:
            work.result()
    finally:
        for work in works:
            work.cancel()
        await asyncio.wait(works)


async def _check_again(node: Node, who: Callable[[Any], Actor], stream: Stream) -> None:
    """Each minute: a token that was revoked, or a person who signed out, sends no more."""
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        await run_in_threadpool(_let_in, node, who, stream.start.domain, is_first=False)


def _let_in(node: Node, who: Callable[[Any], Actor], domain: str, *, is_first: bool = True) -> None:
    with transaction(node.engine, "infer.stream") as session:
        actor = who(session)
        check(actor, Verb.INFER, domain)
        if is_first:
            audit.record(session, actor, "infer.stream", domain)


def _who(socket: WebSocket, start: Start) -> Callable[[Any], Actor]:
    """How to find out who sends: each time anew, for rights change."""
    scheme, _, secret = socket.headers.get("authorization", "").partition(" ")
    token = secret.strip() if scheme.lower() == "bearer" else start.token
    cookie = socket.cookies.get(session_cookie_name(socket.app.state.settings))

    def actor(session: Any) -> Actor:  # noqa: ANN401 -- a Session
        if token:
            return accounts.actor_of_token(session, token)
        # A cookie comes by itself wherever the page is from: only our own page may use it.
        if cookie and "origin" in socket.headers and (found := accounts.actor_of_session(session, cookie)):
            return found
        raise NotAuthenticated

    return actor


def _start(text: str) -> Start:
    """Raises Malformed."""
    try:
        start = Start.model_validate_json(text)
    except ValidationError:
        raise Malformed("The first message says what the frames are; see docs/inference.md.") from None
    if start.format in inference.RAW and not (start.rows and start.columns):
        raise Malformed("Raw frames need rows and columns.")
    return start


def _is_own_origin(socket: WebSocket) -> bool:
    """A browser says where its page is from, and it must be here; a device has no origin."""
    origin = socket.headers.get("origin")
    own = urlsplit(socket.app.state.settings.base_url)
    return origin is None or origin == f"{own.scheme}://{own.netloc}"


async def _refuse(socket: WebSocket, code: int, message: str) -> None:
    await socket.send_text(json.dumps({"type": "error", "message": message, "notice": RESEARCH}))
    await socket.close(code)
