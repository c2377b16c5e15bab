"""What comes from outside: the way back after sign-in, small forms, and who is asked for an error page."""

import asyncio
from types import SimpleNamespace
from urllib.parse import quote, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from core.errors import Denied, Malformed
from core.settings import Settings
from web.deps import refuse_other_sites, small_form
from web.errors import is_for_people
from web.pages.sign_in import next_page
from web.render import domain_name

HOST = "http://127.0.0.1:8000"
FORM = {"content-type": "application/x-www-form-urlencoded"}


def request(path: str = "/", query: str = "", headers: dict[str, str] | None = None, body: bytes = b"") -> Request:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    settings = Settings(role="site", site_code="TEST01", _env_file=None)
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": query.encode(),
        "headers": [(k.encode(), v.encode()) for k, v in (headers or {}).items()],
        "server": ("127.0.0.1", 8000),
        "app": SimpleNamespace(state=SimpleNamespace(settings=settings)),
    }
    return Request(scope, receive)


@given(st.text(max_size=80) | st.text("/\\.:@?#%\t evil", max_size=20))
def test_the_way_back_never_leaves_this_host(wanted: str) -> None:
    back = next_page(request(query="next=" + quote(wanted, safe="", errors="replace")))
    read_by_a_browser = "".join(c for c in back if c not in "\t\r\n").replace("\\", "/")
    assert back.startswith("/")
    assert urlsplit(urljoin(HOST + "/sign-in", read_by_a_browser)).netloc == "127.0.0.1:8000"


def test_the_way_back_is_the_page_that_asked() -> None:
    assert next_page(request(query="next=%2Fcases%3Fstate%3DCURATING")) == "/cases?state=CURATING"


@pytest.mark.parametrize(
    ("headers", "fine"),
    [
        ({"sec-fetch-site": "same-origin", "origin": "null"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"origin": HOST}, True),
        ({"origin": "http://127.0.0.1:8020"}, False),
        ({"origin": "null"}, False),
        ({}, True),
    ],
)
def test_forms_of_other_sites_are_refused(headers: dict[str, str], fine: bool) -> None:
    if fine:
        refuse_other_sites(request(headers=headers))
    else:
        with pytest.raises(Denied):
            refuse_other_sites(request(headers=headers))


def test_a_small_form_is_read() -> None:
    fields = asyncio.run(small_form(request(headers=FORM, body=b"name=a&password=%E5%B1%B1+1&empty=")))
    assert fields == {"name": "a", "password": "山 1", "empty": ""}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (FORM, b"name=" + b"a" * 300_000),
        (FORM, b"&".join(b"a%d=1" % i for i in range(1_300))),
        (FORM, b"name=%ff"),
        (FORM, b"name=\xe5\xb1\xb1"),
        ({"content-type": "multipart/form-data; boundary=x"}, b"--x--"),
        ({}, b"name=a"),
    ],
)
def test_other_forms_are_refused(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(Malformed):
        asyncio.run(small_form(request(headers=headers, body=body)))


@given(st.binary(max_size=200))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    try:
        fields = asyncio.run(small_form(request(headers=FORM, body=body)))
    except Malformed:
        return
    assert all(isinstance(value, str) for value in fields.values())


@pytest.mark.parametrize(
    ("path", "accept", "people"),
    [
        ("/cases", "text/html,application/xhtml+xml,*/*;q=0.8", True),
        ("/apiary", "*/*", True),
        ("/cases", "application/json", False),
        ("/api", "text/html", False),
        ("/api/v1/cases", "text/html", False),
        ("/dicom-web/studies", "text/html", False),
        ("/readyz", "*/*", False),
    ],
)
def test_machines_keep_their_errors(path: str, accept: str, people: bool) -> None:
    assert is_for_people(request(path, headers={"accept": accept})) is people


def test_a_domain_is_named_in_words() -> None:
    assert (domain_name("ja", "liver"), domain_name("en", "liver")) == ("肝腫瘍", "Liver tumours")
    assert domain_name("en", "*") == "All domains"
    assert domain_name("ja", "heart-2031") == "heart-2031"
