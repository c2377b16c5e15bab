"""What every answer carries, what other sites may not do, and how much a body may hold."""

from collections.abc import Iterator

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from api.main import LARGEST_BODY
from core.models.people import Role
from core.security import session_cookie_name
from core.services.parcels import LARGEST_CHUNK
from tests.postgres_fixture import ScratchPostgres
from tests.served import SITE, Served, serve

HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PASSWORD = "correct horse battery staple"


def boom() -> None:
    raise RuntimeError("unexpected")


def with_boom(served: Served) -> Served:
    for path in ("/api/v1/boom", "/boom"):
        served.app.add_api_route(path, boom, methods=["GET", "POST"], include_in_schema=False)
    return served


@pytest.fixture(scope="module")
def pacs(postgres: ScratchPostgres) -> Iterator[Served]:
    with serve(postgres, "pacs") as served:
        served.person("sato", [(Role.SITEIT, "*"), (Role.AUD, "*"), (Role.ADMIN, "*")], password=PASSWORD)
        yield with_boom(served)


@pytest.fixture(scope="module")
def relay(postgres: ScratchPostgres) -> Iterator[Served]:
    with serve(postgres, "relay") as served:
        served.person("machine", [(Role.MACHINE, "*")], site=SITE)
        yield with_boom(served)


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres) -> Iterator[Served]:
    with serve(postgres, "site") as served:
        served.person("sato", [(Role.CUR, "*")])
        yield served


def is_dressed(answer: Response) -> None:
    """The headers that no answer may lack."""
    csp = answer.headers["content-security-policy"]
    policy = {name: values for name, _, values in (part.strip().partition(" ") for part in csp.split(";"))}
    assert policy["default-src"] in {"'self'", "'none'"}
    assert policy.get("object-src", policy["default-src"]) == "'none'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in csp and "*" not in csp and "http:" not in csp
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert "cache-control" in answer.headers
    assert not any(name.startswith("access-control-") for name in answer.headers)
    assert "server" not in answer.headers and "x-powered-by" not in answer.headers


def is_problem(answer: Response, status: int) -> dict[str, object]:
    """RFC 9457, with the status of the answer."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, object] = answer.json()
    assert body["status"] == status and body["type"] == "about:blank" and body["title"] and body["detail"]
    assert set(body) <= {"type", "title", "status", "detail", "errors"}
    return body


ANSWERS = [
    ("GET", "/healthz", {}, 200),
    ("GET", "/readyz", {}, 200),
    ("GET", "/api/v1/openapi.json", {}, 200),
    ("GET", "/api/docs", HTML, 200),
    ("GET", "/sign-in", HTML, 200),
    ("GET", "/", HTML, 303),
    ("GET", "/static/app.css", {}, 200),
    ("GET", "/static/none.css", HTML, 404),
    ("GET", "/none", HTML, 404),
    ("GET", "/none", {"accept": "application/json"}, 404),
    ("GET", "/api/v1/none", {}, 404),
    ("GET", "/metrics", {}, 404),
    ("GET", "/api/v1/me", {}, 401),
    ("HEAD", "/dicom-web/studies", {}, 401),
    ("GET", "/dicom-web/studies", {}, 401),
    ("DELETE", "/api/v1/me", {}, 405),
    ("POST", "/api/v1/login", {}, 422),
    ("POST", "/api/v1/login", {"cookie": "a=b", "sec-fetch-site": "cross-site"}, 403),
    ("POST", "/sign-in", HTML | {"sec-fetch-site": "cross-site"}, 403),
    ("POST", "/sign-in", HTML, 422),
    ("OPTIONS", "/api/v1/me", {"origin": "https://evil.example", "access-control-request-method": "GET"}, 405),
    ("GET", "/api/v1/boom", {}, 500),
    ("GET", "/boom", HTML, 500),
]


@pytest.mark.parametrize(("method", "path", "headers", "status"), ANSWERS, ids=lambda value: str(value)[:40])
def test_every_answer_carries_the_headers(
    pacs: Served, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = pacs.client.request(method, path, headers=headers)
    assert answer.status_code == status
    is_dressed(answer)
    if not path.startswith("/static"):
        assert "no-store" in answer.headers["cache-control"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/api/v1/boom", "/api/v1/messages", "/none", "/api/docs"])
def test_the_relays_answers_too(relay: Served, path: str) -> None:
    is_dressed(relay.client.get(path))


@pytest.mark.parametrize("path", ["/api/v1/none", "/api/v1/me", "/dicom-web/studies", "/api/v1/boom", "/metrics"])
@pytest.mark.parametrize("accept", ["*/*", "text/html", "application/json"])
def test_machines_get_problems_whatever_they_accept(pacs: Served, path: str, accept: str) -> None:
    answer = pacs.client.get(path, headers={"accept": accept})
    is_problem(answer, answer.status_code)


def test_a_method_that_is_not_there_names_those_that_are(pacs: Served) -> None:
    answer = pacs.client.delete("/api/v1/me")
    is_problem(answer, 405)
    assert answer.headers["allow"] == "GET"


def test_an_unexpected_error_says_nothing_of_its_cause(pacs: Served) -> None:
    problem = is_problem(pacs.client.get("/api/v1/boom"), 500)
    assert "RuntimeError" not in str(problem) and "unexpected" not in str(problem).lower()
    page = pacs.client.get("/boom", headers=HTML)
    assert page.headers["content-type"].startswith("text/html") and "RuntimeError" not in page.text


def test_a_wrong_body_is_told_its_fields_and_no_value(pacs: Served) -> None:
    answer = pacs.client.post("/api/v1/login", json={"name": {"deep": "山田花子"}, "password": 7})
    problem = is_problem(answer, 422)
    assert problem["errors"] == [
        {"field": "body.name", "message": "Input should be a valid string"},
        {"field": "body.password", "message": "Input should be a valid string"},
    ]


class TestOtherSites:
    """A browser sends the cookie of this node with requests that another site makes up."""

    @pytest.fixture
    def browser(self, pacs: Served) -> Iterator[TestClient]:
        pacs.client.cookies.set(session_cookie_name(pacs.settings), pacs.cookie("sato"))
        yield pacs.client
        pacs.client.cookies.clear()

    @pytest.mark.parametrize(
        "headers",
        [
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"sec-fetch-site": "cross-site", "origin": "{own}"},
            {"sec-fetch-site": "nonsense"},
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"origin": "{own}.evil.example"},
            {"origin": "{own}/"},
            {"origin": "http://127.0.0.1"},
            {"origin": "https://127.0.0.1:8030"},
            {"referer": "{own}/"},
            {},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("path", ["/sign-out", "/api/v1/tokens", "/dicom-web/studies", "/none"])
    def test_may_not_write(self, pacs: Served, browser: TestClient, headers: dict[str, str], path: str) -> None:
        told = {name: value.format(own=pacs.settings.base_url) for name, value in headers.items()}
        answer = browser.post(path, headers=told | {"accept": "application/json"})
        is_dressed(answer)
        assert is_problem(answer, 403)["detail"] == "This request came from another site."
        assert browser.get("/", headers=HTML).status_code == 200  # the session is untouched

    @pytest.mark.parametrize("headers", [{"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}, {"origin": ""}])
    def test_may_not_but_we_may(self, pacs: Served, browser: TestClient, headers: dict[str, str]) -> None:
        told = {name: value or pacs.settings.base_url for name, value in headers.items()}
        answer = browser.post("/sign-out", headers=told)
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert browser.get("/", headers=HTML).status_code == 303

    def test_a_session_alone_writes_nothing_through_the_api(self, browser: TestClient) -> None:
        wish = {"label": "x", "scopes": ["audit:read"], "days": 1}
        answer = browser.post("/api/v1/tokens", json=wish, headers={"sec-fetch-site": "same-origin"})
        is_problem(answer, 401)

    def test_cannot_log_somebody_in(self, pacs: Served) -> None:
        """Before there is a cookie, the form itself must come from here."""
        form = {"name": "sato", "password": PASSWORD}
        for told in (
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"origin": "https://evil.example"},
        ):
            answer = pacs.client.post("/sign-in", data=form, headers=told | HTML)
            assert answer.status_code == 403 and "set-cookie" not in answer.headers

    def test_a_machine_with_a_token_needs_no_origin(self, pacs: Served) -> None:
        wish = {"label": "x", "scopes": ["audit:read"], "days": 1}
        assert pacs.client.post("/api/v1/tokens", json=wish, headers=pacs.bearer("sato")).status_code == 201

    @pytest.mark.parametrize(
        "to", ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/\n/x"]
    )
    def test_the_way_after_sign_in_stays_here(self, pacs: Served, to: str) -> None:
        form = {"name": "sato", "password": PASSWORD}
        answer = pacs.client.post("/sign-in", params={"next": to}, data=form, headers={"sec-fetch-site": "same-origin"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        pacs.client.cookies.clear()


def pieces(size: int) -> Iterator[bytes]:
    """A body without a Content-Length."""
    for start in range(0, size, 1 << 18):
        yield b"7" * min(1 << 18, size - start)


class TestBodies:
    @pytest.mark.parametrize("is_chunked", [False, True])
    def test_a_huge_json_body_is_refused(self, pacs: Served, is_chunked: bool) -> None:
        size = LARGEST_BODY + 1
        body = pieces(size) if is_chunked else b"7" * size
        answer = pacs.client.post("/api/v1/login", content=body, headers={"content-type": "application/json"})
        is_dressed(answer)
        is_problem(answer, 413)

    def test_a_body_at_the_cap_is_read(self, pacs: Served) -> None:
        text = b'{"name": "sato", "password": "x", "more": "' + b"7" * (LARGEST_BODY - 45) + b'"}'
        assert len(text) == LARGEST_BODY
        answer = pacs.client.post("/api/v1/login", content=text, headers={"content-type": "application/json"})
        assert answer.status_code == 401

    @pytest.mark.parametrize("path", ["/none", "/api/v1/none", "/sign-out"])
    def test_a_body_that_nobody_reads_does_no_harm(self, pacs: Served, path: str) -> None:
        answer = pacs.client.post(path, content=b"7" * (LARGEST_BODY + 1))
        assert answer.status_code in {404, 413}
        is_dressed(answer)

    def test_a_form_has_a_cap_of_its_own(self, pacs: Served) -> None:
        form = {"name": "x" * 20_000, "password": "y"}
        assert pacs.client.post("/sign-in", data=form, headers={"sec-fetch-site": "same-origin"}).status_code == 422

    @pytest.mark.parametrize(("size", "status"), [(LARGEST_CHUNK, 404), (LARGEST_CHUNK + 1, 413)])
    @pytest.mark.parametrize("is_chunked", [False, True])
    def test_a_parcels_chunk_holds_16_mib(self, relay: Served, size: int, status: int, is_chunked: bool) -> None:
        path = f"/api/v1/parcels/{SITE}/00000000-0000-4000-8000-000000000000/content?offset=0"
        body = pieces(size) if is_chunked else b"7" * size
        answer = relay.client.put(path, content=body, headers=relay.bearer("machine"))
        is_dressed(answer)
        is_problem(answer, status)

    def test_a_parcels_header_is_small(self, relay: Served) -> None:
        wish = {"header": "x" * 65_537, "signature": "0"}
        is_problem(relay.client.post("/api/v1/parcels", json=wish, headers=relay.bearer("machine")), 422)

    def test_a_list_of_cases_may_be_longer(self, site: Served) -> None:
        head = site.bearer("sato") | {"content-type": "text/csv"}
        wide = "chart_id,domain,note\n" + "1,liver,{}\n".format("乳" * 500) * 900
        answer = site.client.post("/api/v1/cases/csv?preview=true", content=wide.encode(), headers=head)
        assert (answer.status_code, len(answer.json())) == (200, 900)
        is_problem(site.client.post("/api/v1/cases/csv", content=b"7" * 8_000_001, headers=head), 413)
        is_problem(site.client.post("/api/v1/cases/csv", content=b"7" * 2_000_001, headers=head), 422)

    def test_dicom_is_streamed_whatever_its_size(self, pacs: Served) -> None:
        head = pacs.bearer("sato") | {"content-type": "application/dicom"}
        answer = pacs.client.post("/dicom-web/studies", content=pieces(18 << 20), headers=head)
        assert answer.status_code == 409  # read to its end, and no DICOM
        is_dressed(answer)

    def test_dicom_of_a_stranger_is_not_read(self, pacs: Served) -> None:
        answer = pacs.client.post(
            "/dicom-web/studies",
            content=b"7",
            headers={"content-length": str(1 << 40), "content-type": "application/dicom"},
        )
        is_problem(answer, 401)
