"""A patient's name, planted wherever a request or a failure can carry it, is in no answer, no log and no server log."""

import io
import json
import logging
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pydicom
import pytest
import uvicorn
from httpx2 import Response
from sqlalchemy import text
from sqlmodel import Session

from api.deps import SessionDep
from core import logs
from core.db import transaction
from core.errors import Conflict, Malformed
from core.models.people import Role, User
from tests.postgres_fixture import ScratchPostgres
from tests.served import Served, serve

KANJI, LATIN = "山田花子", "YAMADA^HANAKO"
NAMES = (KANJI, LATIN, "yamada", "%E5%B1%B1%E7%94%B0", "\\u5c71\\u7530", KANJI.encode().hex())
HOOKS = ("excepthook", "unraisablehook")


def is_silent(text_of: str) -> None:
    folded = text_of.casefold()
    assert [name for name in NAMES if name.casefold() in folded] == []


def told(answer: Response) -> str:
    return answer.text + repr(sorted(answer.headers.items()))


@contextmanager
def real_logging(level: str = "DEBUG") -> Iterator[io.StringIO]:
    """The logging of a node, as `serve` sets it up, into a buffer; what was there before comes back."""
    root, stream = logging.getLogger(), io.StringIO()
    kept_root, kept_hooks = (root.level, root.handlers[:]), {name: getattr(sys, name) for name in HOOKS}
    kept_levels = {name: logging.getLogger(name).level for name in (*logs.OURS, *logs.TALKATIVE)}
    kept_thread_hook, kept_stderr = threading.excepthook, sys.stderr
    with warnings.catch_warnings():
        sys.stderr = stream
        try:
            logs.configure(level)
            yield stream
        finally:
            sys.stderr = kept_stderr
            logging.captureWarnings(False)
            logging.raiseExceptions = True
            root.level, root.handlers[:] = kept_root
            for name, hook in kept_hooks.items():
                setattr(sys, name, hook)
            threading.excepthook = kept_thread_hook
            for name, kept in kept_levels.items():
                logging.getLogger(name).setLevel(kept)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    with real_logging() as opened:
        yield opened


def lines(stream: io.StringIO) -> list[dict[str, str]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def unexpected() -> None:
    raise KeyError(f"{KANJI} {LATIN}")


def refused_by_the_database(session: SessionDep) -> None:
    session.execute(text("INSERT INTO site (code, name) VALUES (NULL, :name)"), {"name": KANJI + LATIN})


def wrong_statement(session: SessionDep) -> None:
    session.execute(text(f"SELECT * FROM \"{KANJI}\" WHERE name = '{LATIN}'"))


def wrong_number(session: SessionDep) -> None:
    session.execute(text("SELECT CAST(:name AS integer)"), {"name": KANJI + LATIN})


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres) -> Iterator[Served]:
    with serve(postgres, "site") as served:
        served.person(
            "sato", [(Role.CUR, "*"), (Role.PTDESK, "*"), (Role.ADMIN, "*"), (Role.SITEIT, "*"), (Role.AUD, "*")]
        )
        for function in (unexpected, refused_by_the_database, wrong_statement, wrong_number):
            served.app.add_api_route(f"/api/v1/test/{function.__name__}", function)
        yield served


@pytest.fixture(scope="module")
def central(postgres: ScratchPostgres) -> Iterator[Served]:
    with serve(postgres, "central") as served:
        served.person("lead", [(Role.DOM, "*"), (Role.CENOP, "*")])
        served.person("machine", [(Role.MACHINE, "*")], site="*")
        yield served


@pytest.fixture
def head(site: Served) -> dict[str, str]:
    return site.bearer("sato")


@pytest.fixture(autouse=True)
def quiet_database(postgres: ScratchPostgres) -> Iterator[None]:
    yield
    is_silent(postgres.log())


SOME_ID = "00000000-0000-4000-8000-000000000000"
BODIES = [
    ("POST", "/api/v1/cases", {"chart_id": {KANJI: LATIN}, "domain": KANJI}),
    ("POST", "/api/v1/cases", {"chart_id": LATIN * 9, "domain": LATIN, "study_uid": KANJI, "accession": KANJI * 99}),
    ("POST", "/api/v1/cases", {"chart_id": KANJI, "domain": "liver", "accession": LATIN}),
    ("POST", "/api/v1/cases", {"chart_id": f"{LATIN}\0", "domain": "liver", "accession": KANJI}),
    ("POST", "/api/v1/cases", {"chart_id": "1", "domain": "liver", "accession": "2", "deferred_until": KANJI}),
    ("POST", "/api/v1/cases", [KANJI, {LATIN: KANJI}]),
    ("POST", f"/api/v1/cases/{SOME_ID}/exclude", {"reason": KANJI}),
    ("PUT", f"/api/v1/cases/{SOME_ID}/form", {"values": {KANJI: LATIN}, "version": KANJI}),
    ("PUT", f"/api/v1/cases/{SOME_ID}/form", {"values": [LATIN], "version": -1}),
    ("PUT", f"/api/v1/images/{SOME_ID}/pick", {"picked": KANJI, "reason": LATIN, "version": LATIN}),
    ("POST", f"/api/v1/images/{SOME_ID}/rois", {"frame": KANJI, "x": LATIN, "label": KANJI, "lesion_id": LATIN}),
    ("PUT", f"/api/v1/images/{SOME_ID}/mask", {"rects": [[KANJI, LATIN, 0, 0], LATIN], "revision": KANJI}),
    ("POST", "/api/v1/opt-outs", {"chart_id": KANJI}),
    ("POST", "/api/v1/opt-outs", {"chart_id": [LATIN]}),
    ("POST", "/api/v1/opt-outs/check", {"chart_id": f"{KANJI}\0"}),
    ("PUT", "/api/v1/holidays", {"day": KANJI, "name": LATIN * 99}),
    ("POST", "/api/v1/users", {"name": KANJI, "password": LATIN, "grants": [{"role": KANJI, "domain": LATIN}]}),
    ("POST", "/api/v1/login", {"name": KANJI, "password": LATIN}),
    ("POST", "/api/v1/login", {"name": f"{LATIN}\0", "password": KANJI}),
    ("POST", "/api/v1/tokens", {"label": KANJI * 99, "scopes": [KANJI], "days": LATIN}),
    ("POST", "/api/v1/tokens", {"label": "x", "scopes": [LATIN], "days": 1}),
]


@pytest.mark.parametrize(("method", "path", "body"), BODIES, ids=range(len(BODIES)))
def test_a_wrong_body(
    site: Served, head: dict[str, str], stream: io.StringIO, method: str, path: str, body: object
) -> None:
    answer = site.client.request(method, path, json=body, headers=head)
    assert 400 <= answer.status_code < 500
    is_silent(told(answer))
    is_silent(stream.getvalue())


@pytest.mark.parametrize(
    "content",
    [
        f'{{"name": "{KANJI}", "password": "{LATIN}"',
        f"{KANJI} {LATIN}",
        f'{{"name": "{LATIN}", }}',
        f'{{"{KANJI}": NaN, "name": Infinity}}',
        b'{"name": "\xff\xfe' + LATIN.encode() + b'"}',
        b'{"name": "\\ud83d' + LATIN.encode() + b'", "password": "x"}',
        b"[" * 5000 + LATIN.encode(),
        b'{"name": ' + b"1" * 5000 + b', "password": "' + LATIN.encode() + b'"}',
    ],
    ids=range(8),
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded", f"x/{LATIN}"])
def test_what_is_no_json(site: Served, stream: io.StringIO, content: str | bytes, kind: str) -> None:
    body = content.encode() if isinstance(content, str) else content
    answer = site.client.post("/api/v1/login", content=body, headers={"content-type": kind})
    assert answer.status_code in {400, 401, 422}
    is_silent(told(answer))
    is_silent(stream.getvalue())


@pytest.mark.parametrize(
    "path",
    [
        f"/api/v1/cases/{KANJI}",
        f"/api/v1/cases/{LATIN}/form",
        f"/api/v1/cases/{SOME_ID}/{KANJI}",
        f"/api/v1/images/{SOME_ID}/frames/{LATIN}",
        f"/api/v1/{KANJI}",
        f"/{LATIN}",
        f"/static/{KANJI}.css",
        f"/api/v1/peers/{LATIN}/test",
        f"/api/v1/holidays/{KANJI}",
        f"/api/v1/cases?state={KANJI}&domain={LATIN}",
        f"/api/v1/cases?limit={KANJI}&after={LATIN}",
        "/api/v1/cases?state=%00",
        "/api/v1/cases?after=99999999999999999999999",
        f"/api/v1/audit?verb={KANJI}%00{LATIN}",
        f"/api/v1/audit?before={LATIN}",
        f"/api/v1/packages?case_id={KANJI}",
        f"/sign-in?next=/{KANJI}&lang={LATIN}",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_wrong_address(site: Served, head: dict[str, str], stream: io.StringIO, path: str, method: str) -> None:
    answer = site.client.request(method, path, headers=head | {"sec-fetch-site": "same-origin"})
    assert answer.status_code < 500
    if not path.startswith("/sign-in"):  # which keeps the address that it leads back to, for the person who gave it
        is_silent(told(answer))
    is_silent(stream.getvalue())


@pytest.mark.parametrize(
    "path",
    [
        f"/api/v1/cases?site={KANJI}&domain={LATIN}",
        f"/api/v1/datasets/{KANJI}/versions/{LATIN}",
        f"/api/v1/datasets/x/versions/1/files/{LATIN}",
        f"/api/v1/messages?site={KANJI}%00&after={LATIN}",
        f"/api/v1/messages?site={LATIN}%00",
        f"/api/v1/parcels/{KANJI}/{LATIN}",
        f"/api/v1/parcels/{LATIN}%00/{SOME_ID}",
        f"/dicom-web/studies?PatientName={KANJI}&00100010={LATIN}",
        f"/dicom-web/studies?{KANJI}={LATIN}",
        f"/dicom-web/studies?StudyDate={LATIN}&limit={KANJI}",
        f"/dicom-web/studies/{KANJI}/series/{LATIN}/instances/{LATIN}/frames/{KANJI}",
    ],
)
def test_a_wrong_address_at_central(central: Served, stream: io.StringIO, path: str) -> None:
    for who in ("lead", "machine"):
        answer = central.client.get(path, headers=central.bearer(who) | {"accept": f"application/json, {LATIN}/x"})
        assert answer.status_code < 500
        is_silent(told(answer))
    is_silent(stream.getvalue())


@pytest.mark.parametrize(
    "table",
    [
        f"chart_id,domain\n{KANJI},{LATIN}\n",
        f"chart_id,domain,accession\n{KANJI},liver,{LATIN}\n",
        f"chart_id,domain,accession,{KANJI}\n1,liver\n2,liver,{LATIN},x,y,z\n",
        f"{KANJI},{LATIN}\n1,2\n",
        f"chart_id,domain,study_uid\n12345678,liver,{LATIN}\n",
        f"chart_id,domain,accession\n12345678,{KANJI},1\n",
        f'chart_id,domain,accession\n"{KANJI},{LATIN}\n',
        f"chart_id,domain,accession\n{LATIN}\0,liver,{KANJI}\n",
        f"chart_id,domain,accession\r12345678,{LATIN},1\r",
        "chart_id,domain\n" + LATIN * 20_000,
        f"chart_id,domain,accession,deferred_until\n1,liver,2,{KANJI}\n",
    ],
    ids=range(11),
)
def test_a_wrong_csv(site: Served, head: dict[str, str], stream: io.StringIO, table: str) -> None:
    for query in ("", "?preview=true"):
        answer = site.client.post(
            f"/api/v1/cases/csv{query}", content=table.encode(), headers=head | {"content-type": "text/csv"}
        )
        assert answer.status_code in {200, 422}
        is_silent(told(answer))
    is_silent(stream.getvalue())


@pytest.mark.parametrize(
    ("name", "status"),
    [("unexpected", 500), ("refused_by_the_database", 500), ("wrong_statement", 500), ("wrong_number", 422)],
)
def test_what_breaks_inside(site: Served, stream: io.StringIO, name: str, status: int) -> None:
    answer = site.client.get(f"/api/v1/test/{name}")
    assert answer.status_code == status
    is_silent(told(answer))
    is_silent(stream.getvalue())
    if status == 500:
        kind = {"unexpected": "KeyError", "refused_by_the_database": "IntegrityError"}.get(name, "ProgrammingError")
        messages = [line["message"] for line in lines(stream) if line["logger"] == "api.errors"]
        assert len(messages) == 1 and messages[0].startswith(f"unexpected {kind} at {name} (")
        assert "test_logs.py:" in messages[0]  # a place to begin to look


def test_errors_of_the_database_carry_no_value(site: Served) -> None:
    """What a job would log or keep: our words, and where the database must be quoted, no parameter."""
    engine = site.node.engine
    with pytest.raises(Malformed) as too_long, transaction(engine, "test.long") as session:
        session.add(User(name=KANJI * 40))
    with pytest.raises(Malformed) as nul, transaction(engine, "test.nul") as session:
        session.add(User(name=f"{LATIN}\0"))
    with pytest.raises(Conflict) as twice, transaction(engine, "test.twice") as session:
        session.add_all([User(name=KANJI), User(name=KANJI)])
    for raised in (too_long, nul, twice):
        is_silent(str(raised.value))
        assert raised.value.__suppress_context__


class TestServer:
    """Through uvicorn and a socket, as it is served."""

    @pytest.fixture
    def port(self, site: Served) -> Iterator[int]:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            config = uvicorn.Config(
                site.app, access_log=False, log_config=None, lifespan="off", timeout_graceful_shutdown=2
            )
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            while not server.started:
                time.sleep(0.01)
            yield listener.getsockname()[1]
            server.should_exit = True
            thread.join(10)

    def test_nothing_is_quoted(self, stream: io.StringIO, port: int) -> None:
        requests = [
            f"GET /api/v1/test/unexpected?name={LATIN} HTTP/1.1\r\nHost: x\r\n\r\n",
            f"GET /{KANJI} HTTP/1.1\r\nHost: x\r\n\r\n",
            f"{LATIN} / HTTP/1.1\r\n{KANJI}: {LATIN}\r\n\r\n",
            f"GET / HTTP/9.9 {LATIN}\r\n\r\n",
            f"GET / HTTP/1.1\r\nHost: {LATIN}\r\nContent-Length: {KANJI}\r\n\r\n",
            f"POST /api/v1/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{LATIN}\r\n",
            f"POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{LATIN}",  # and leaves
        ]
        for request in requests:
            with socket.create_connection(("127.0.0.1", port), 5) as connection:
                connection.sendall(request.encode())
                connection.shutdown(socket.SHUT_WR)
                answer = b""
                while piece := connection.recv(65536):
                    answer += piece
            is_silent(answer.decode(errors="replace"))
        deadline = time.monotonic() + 10  # the answer leaves before the line about it is written
        while not (told := [line for line in lines(stream) if line["logger"] == "uvicorn.error" and "error" in line]):
            assert time.monotonic() < deadline, "the log does not say what went wrong"
            time.sleep(0.05)
        is_silent(stream.getvalue())
        assert {"level": "ERROR", "error": "KeyError"}.items() <= told[0].items()


class TestRedactor:
    @pytest.mark.parametrize("name", [*logs.TALKATIVE, "httpx2.client", "somebody.else", "asyncio", "root"])
    def test_foreign_words_are_withheld(self, stream: io.StringIO, name: str) -> None:
        logging.getLogger(name).critical("%s %s", KANJI, LATIN)
        is_silent(stream.getvalue())
        assert {line["message"] for line in lines(stream)} <= {"(withheld)"}

    def test_our_own_words_are_kept(self, stream: io.StringIO) -> None:
        logging.getLogger("core.services").info("retrieved %d images", 7)
        assert lines(stream)[0] | {"at": ""} == {
            "at": "",
            "level": "INFO",
            "logger": "core.services",
            "message": "retrieved 7 images",
        }

    @pytest.mark.parametrize("name", ["core.x", "workers.runner", "uvicorn.error", "procrastinate.worker", "pydicom"])
    def test_of_an_error_only_its_class_is_told(self, stream: io.StringIO, name: str) -> None:
        try:
            raise ValueError(KANJI)
        except ValueError:
            logging.getLogger(name).exception("it failed")
        is_silent(stream.getvalue())
        assert lines(stream)[0]["error"] == "ValueError"

    def test_warnings_quote_nothing(self, stream: io.StringIO) -> None:
        warnings.warn(f"value {LATIN} is not allowed for VR DA", stacklevel=1)
        pydicom.config.logger.warning("Invalid value %s", KANJI)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pydicom.config.settings, "_reading_validation_mode", pydicom.config.WARN)
            dataset = pydicom.Dataset()
            dataset.add_new("StudyDate", "DA", LATIN)
        is_silent(stream.getvalue())

    def test_what_nobody_catches_is_one_line_too(self, stream: io.StringIO) -> None:
        def fail() -> None:
            raise ValueError(KANJI)

        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        try:
            fail()
        except ValueError as exc:
            sys.excepthook(type(exc), exc, exc.__traceback__)
        is_silent(stream.getvalue())
        begins = "uncaught ValueError at integration/test_logs.py:"
        assert [line["message"].startswith(begins) for line in lines(stream)] == [True, True]

    def test_a_line_that_cannot_be_written_is_lost_rather_than_quoted(self, stream: io.StringIO) -> None:
        logging.getLogger("core.x").error("%d images", KANJI)
        is_silent(stream.getvalue())

    def test_the_level_is_the_operators(self) -> None:
        with real_logging("ERROR") as stream:
            logging.getLogger("core.x").warning("quiet")
            logging.getLogger("core.x").error("loud")
        assert [line["message"] for line in lines(stream)] == ["loud"]

    def test_sqlalchemy_echoes_nothing(self, site: Served, stream: io.StringIO) -> None:
        with Session(site.node.engine) as session:
            session.execute(text("SELECT :name"), {"name": KANJI})
        assert stream.getvalue() == ""
