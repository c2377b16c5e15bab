"""The pages over a real database: sign-in and out, the home page of each role, errors, headers, languages."""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest
from fastapi import FastAPI
from sqlalchemy import Engine
from sqlmodel import Session, select
from starlette.testclient import TestClient

from api import errors
from api.routes import bank, health, people
from api.security import SecurityHeaders
from core.clock import now_utc
from core.db import make_engine
from core.errors import Unavailable
from core.migrate import upgrade_main
from core.models.archive import Study
from core.models.audit import AuditEvent
from core.models.bank import BankCase, Site
from core.models.datasets import Dataset, DatasetVersion, VersionState
from core.models.people import Role, User, WebSession
from core.models.sitecase import CaseState, SiteCase
from core.models.transfer import Package, PackageState
from core.permissions import SYSTEM
from core.postgres import EmbeddedPostgres
from core.security import LoginThrottle
from core.services import accounts
from core.settings import Settings
from web.app import install_pages

PASSWORD = "correct horse battery"
PEOPLE: dict[str, list[tuple[Role, str]]] = {
    "sato": [(Role.CUR, "*"), (Role.XFER, "*")],
    "breast": [(Role.CUR, "breast"), (Role.XFER, "breast")],
    "lead": [(Role.DOM, "liver"), (Role.CENOP, "*")],
    "curator": [(Role.CUR, "liver")],
    "tech": [(Role.SITEIT, "*")],
    "nobody": [],
}
HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
OpenClient = Callable[..., TestClient]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    folder = Path(tempfile.mkdtemp(prefix="sonobank-pages-"))
    server = EmbeddedPostgres(folder / "pg", folder / "keys")
    server.start()
    url = server.ensure_database("pages", "pages", server.password("pages"))
    upgrade_main(url)
    made = make_engine(url)
    fill(made)
    yield made
    made.dispose()
    server.stop()
    shutil.rmtree(folder)


def fill(engine: Engine) -> None:
    with Session(engine, expire_on_commit=False) as session:
        users = {name: accounts.create_user(session, SYSTEM, name, PASSWORD, grants) for name, grants in PEOPLE.items()}
        for domain, state in [("liver", CaseState.CURATING)] * 3 + [("breast", CaseState.RETRIEVE_FAILED)]:
            case = SiteCase(domain=domain, state=state, route="rest", flagged_by=users["sato"].id)
            session.add(case)
            session.flush()
            session.add(Package(case_id=case.id, case_version=1, state=PackageState.SENT))
        session.add_all([Site(code="KYOTO01", name="K"), Site(code="OSAKA02", name="O")])
        session.flush()
        for site, domain, hidden in [("KYOTO01", "liver", False)] * 4 + [
            ("OSAKA02", "breast", False),
            ("OSAKA02", "liver", True),
        ]:
            session.add(
                BankCase(
                    id=uuid4(), site=site, research_id=uuid4(), domain=domain, version=1, package_id=uuid4(),
                    accepted_month="2026-11", hidden=hidden,
                )
            )  # fmt: skip
        datasets = [Dataset(name="liver-pilot", domain="liver"), Dataset(name="breast-pilot", domain="breast")]
        session.add_all([*datasets, Study(study_uid="1.2.3"), Study(study_uid="1.2.4")])
        session.flush()
        for n, stage in enumerate((VersionState.FROZEN, VersionState.BUILDING), 1):
            session.add(DatasetVersion(dataset_id=datasets[0].id, n=n, state=stage, created_by=users["lead"].id))
        session.commit()


@pytest.fixture
def browser(engine: Engine) -> Iterator[OpenClient]:
    """Opens a browser on a node of a role: the machine routes, error handlers and middleware that a node has, and pages."""
    with ExitStack() as stack:

        def open_browser(role: str = "site", lang: str = "en", public_url: str | None = None) -> TestClient:
            site_code = "KYOTO01" if role == "site" else None
            settings = Settings(role=role, site_code=site_code, public_url=public_url, _env_file=None)
            app = FastAPI(openapi_url="/api/v1/openapi.json", docs_url=None, redoc_url=None)
            app.state.settings, app.state.throttle = settings, LoginThrottle()
            app.state.node = SimpleNamespace(engine=engine, settings=settings)
            errors.install(app)
            for router in (health.router, people.router, bank.router):
                app.include_router(router)
            install_pages(app)
            app.add_api_route("/broken", broken, include_in_schema=False)
            app.add_api_route("/away", away, include_in_schema=False)
            app.add_middleware(SecurityHeaders)
            headers = {**HTML, "accept-language": lang, "sec-fetch-site": "same-origin"}
            client = TestClient(
                app, settings.base_url, raise_server_exceptions=False, follow_redirects=False, headers=headers
            )
            return stack.enter_context(client)

        yield open_browser


def broken() -> None:
    raise RuntimeError("a planted name, YAMADA^TARO")


def away() -> None:
    raise Unavailable


def sign_in(client: TestClient, name: str = "sato", password: str = PASSWORD, path: str = "/sign-in") -> str:
    answer = client.post(path, data={"name": name, "password": password})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def test_who_is_not_signed_in_is_led_to_the_sign_in_page(browser: OpenClient) -> None:
    answer = browser().get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")


@pytest.mark.parametrize(("lang", "words"), [("ja-JP,ja;q=0.9,en;q=0.5", "パスワード"), ("en-US", "Password")])
def test_the_sign_in_page_in_both_languages(browser: OpenClient, lang: str, words: str) -> None:
    answer = browser(lang=lang).get("/sign-in")
    assert answer.status_code == 200
    assert f'<html lang="{lang[:2]}"' in answer.text
    assert f'<label for="password">{words}</label>' in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert "'unsafe-inline'" not in answer.headers["content-security-policy"]
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_a_person_signs_in_and_out(browser: OpenClient, engine: Engine) -> None:
    client = browser()
    answer = client.post("/sign-in", data={"name": "sato", "password": PASSWORD})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("sonobank-8000=")
    assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; ")) and "Secure" not in cookie
    assert "sato" in client.get("/").text
    assert client.get("/sign-in").headers["location"] == "/"
    assert client.get("/api/v1/me").json()["name"] == "sato"  # the same cookie opens reads of the API
    with Session(engine) as session:
        assert session.exec(select(AuditEvent).where(AuditEvent.actor == "sato", AuditEvent.verb == "log-in")).first()

    kept = dict(client.cookies)
    answer = client.post("/sign-out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert not client.cookies
    client.cookies.update(kept)
    assert client.get("/").status_code == 303  # the session is gone, not only the cookie


def test_behind_tls_the_cookie_is_bound_to_the_host(browser: OpenClient) -> None:
    client = browser(public_url="https://sonobank.example")
    cookie = client.post("/sign-in", data={"name": "sato", "password": PASSWORD}).headers["set-cookie"]
    assert cookie.startswith("__Host-sonobank=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= set(
        cookie.split("; ")
    ) and "domain" not in cookie.lower()
    gone = client.post("/sign-out").headers["set-cookie"]
    assert gone.startswith("__Host-sonobank=") and "Secure" in gone and "Max-Age=0" in gone


def test_signing_in_again_ends_the_session_before(browser: OpenClient) -> None:
    client = browser()
    sign_in(client)
    before = dict(client.cookies)
    sign_in(client)
    assert dict(client.cookies) != before
    stale = browser()
    stale.cookies.update(before)
    assert stale.get("/").status_code == 303


def test_a_secret_from_outside_is_never_taken_over(browser: OpenClient) -> None:
    client = browser()
    client.cookies.set("sonobank-8000", "planted")
    answer = client.post("/sign-in", data={"name": "sato", "password": PASSWORD})
    assert re.match(r"sonobank-8000=[\w-]{43};", answer.headers["set-cookie"])
    stranger = browser()
    stranger.cookies.set("sonobank-8000", "planted")
    assert stranger.get("/").status_code == 303


@pytest.mark.parametrize(
    ("name", "password", "status", "words"),
    [
        ("sato", "wrong", 401, "違います"),
        ("yamada", PASSWORD, 401, "違います"),
        ("", PASSWORD, 422, "両方"),
        ("sato", "", 422, "両方"),
        ("sa\0to", PASSWORD, 422, "両方"),
        ("s" * 65, PASSWORD, 422, "両方"),
        ("sato", "p" * 201, 422, "両方"),
        ('"><script>alert(1)</script>', "wrong", 401, "&#34;&gt;&lt;script&gt;"),
    ],
)
def test_a_wrong_sign_in_says_why(browser: OpenClient, name: str, password: str, status: int, words: str) -> None:
    client = browser(lang="ja")
    answer = client.post("/sign-in", data={"name": name, "password": password})
    assert (answer.status_code, "set-cookie" in answer.headers) == (status, False)
    assert words in answer.text and 'role="alert"' in answer.text
    assert PASSWORD not in answer.text and "<script>" not in answer.text


def test_trying_too_often_is_stopped(browser: OpenClient) -> None:
    client = browser()
    tries = [client.post("/sign-in", data={"name": "tech", "password": "wrong"}).status_code for _ in range(11)]
    assert tries == [401] * 10 + [429]
    assert client.post("/sign-in", data={"name": "tech", "password": PASSWORD}).status_code == 429
    sign_in(client, "sato")  # the others of the same address go on


@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "", "origin": "https://evil"}]
)
def test_another_site_cannot_sign_anybody_in(browser: OpenClient, headers: dict[str, str]) -> None:
    client = browser()
    answer = client.post("/sign-in", data={"name": "sato", "password": PASSWORD}, headers=headers)
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
    assert "<h1>You may not do this</h1>" in answer.text


def test_another_site_cannot_sign_anybody_out(browser: OpenClient) -> None:
    client = browser()
    sign_in(client)
    assert client.post("/sign-out", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert client.get("/").status_code == 200


def test_after_signing_in_one_is_where_one_wanted_to_be(browser: OpenClient) -> None:
    client = browser()
    led = client.get("/?theme=dark").headers["location"]
    assert led == "/sign-in?next=%2F%3Ftheme%3Ddark"
    assert 'action="/sign-in?next=%2F%3Ftheme%3Ddark"' in client.get(led).text
    assert sign_in(client, path=led) == "/?theme=dark"
    assert sign_in(browser(), path="/sign-in?next=//evil.example") == "/"


def test_an_idle_session_ends(browser: OpenClient, engine: Engine) -> None:
    client = browser()
    sign_in(client, "nobody")
    assert client.get("/").status_code == 200
    with Session(engine) as session:
        owner = select(User.id).where(User.name == "nobody")
        for row in session.exec(select(WebSession).where(WebSession.user_id == session.exec(owner).one())):
            row.seen_at = now_utc() - timedelta(minutes=16)
        session.commit()
    assert client.get("/").status_code == 303
    assert "You were signed out" in client.get("/sign-in").text


def test_the_home_page_of_a_hospital(browser: OpenClient) -> None:
    client = browser(lang="ja")
    sign_in(client)
    text = client.get("/").text
    assert "昨夜届いた画像はありません" in text and "あなたを待っている仕事" in text
    assert ("3", "キュレーションする症例") in waiting(text)
    assert 'href="/worklist?stuck=1"><b>1</b>' in text and "取得できず" in text
    assert "センターからの返事はまだありません" in text
    assert "KYOTO01" in text and 'href="/api/docs"' in text


def waiting(page: str) -> list[tuple[str, str]]:
    """What waits for a person: how many, and of what."""
    rows = re.findall(r"<b>([\d,]+)</b><span>(.*?)</span>", page.split('class="todo"')[1].split("</ul>")[0], re.DOTALL)
    return [(count, words) for count, words in rows]


def test_counts_are_of_what_one_may_see(browser: OpenClient) -> None:
    client = browser()
    sign_in(client, "breast")
    text = client.get("/").text
    assert waiting(text)[:2] == [("0", "cases to curate"), ("1", "failed retrievals to ask for again")]
    chips = re.findall(r'href="/worklist\?state=(\w+)"', text.split('id="cases"')[1])
    assert chips == ["RETRIEVE_FAILED"] and 'href="/worklist">Total <b>1</b>' in text


def test_a_block_without_its_right_is_not_there(browser: OpenClient) -> None:
    client = browser()
    sign_in(client, "tech")
    text = client.get("/").text
    assert all(f'id="{block}"' in text for block in ("arrived", "waiting", "stuck", "central"))
    sign_in(client, "curator")
    text = client.get("/").text
    assert 'id="arrived"' in text and 'id="central"' not in text and "/transfers" not in text.split("</nav>")[-1]


def test_who_has_no_rights_is_told_what_to_do(browser: OpenClient) -> None:
    for role in ("site", "central", "pacs"):
        client = browser(role)
        sign_in(client, "nobody")
        text = client.get("/").text
        assert "Ask the administrator for a role" in text and "nothing for you to see" in text
        assert "<table" not in text and 'class="figure"' not in text


def test_the_home_page_of_central(browser: OpenClient) -> None:
    client = browser("central")
    sign_in(client, "lead")
    text = client.get("/").text
    cells = [re.sub(r"<[^>]+>|\s+", " ", row).split() for row in re.findall(r"<tr.*?</tr>", text, re.DOTALL)]
    assert ["KYOTO01", "0", "4", "4"] in cells
    assert ["OSAKA02", "1", "0", "1"] in cells  # the hidden case is not counted
    assert ["Total", "1", "4", "5"] in cells
    assert ["liver-pilot", "Liver", "tumours", "1", "2", "Being", "built"] in cells
    assert "breast-pilot" not in text


def test_the_home_page_of_the_demo_pacs_warns(browser: OpenClient) -> None:
    client = browser("pacs", "ja")
    sign_in(client, "tech")
    text = client.get("/").text
    assert 'class="banner"' in text and "デモ専用" in text
    assert '<p class="figure">2</p>' in text


def test_language_and_theme_are_remembered(browser: OpenClient) -> None:
    client = browser(lang="ja")
    sign_in(client)
    assert '<html lang="en" data-theme="dark">' in client.get("/?lang=en&theme=dark").text
    assert '<html lang="en" data-theme="dark">' in client.get("/").text
    assert '<html lang="en"' in client.get("/?lang=xx").text
    assert '<html lang="ja"' in client.get("/?lang=ja").text
    assert {c.name for c in client.cookies.jar} == {"sonobank-8000", "sonobank-lang", "sonobank-theme"}


def test_the_api_reference_brings_everything_itself(browser: OpenClient) -> None:
    client = browser()
    page = client.get("/api/docs")
    assert page.status_code == 200 and "unsafe" not in page.headers["content-security-policy"]
    addresses = re.findall(r'(?:src|href)="([^"?#][^"]*)"', page.text)
    assert all(address.startswith("/") for address in addresses)
    for address in addresses:
        answer = client.get(address)
        assert answer.status_code in {200, 303}, address
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert page.text.count('integrity="sha384-') == page.text.count('"/static/vendor/') == 1
    openapi = client.get("/api/v1/openapi.json").json()
    assert not {"/", "/sign-in", "/sign-out", "/api/docs"} & set(openapi["paths"])


def test_static_files_are_kept_and_pages_are_not(browser: OpenClient) -> None:
    client = browser()
    styles = re.findall(r'href="(/static/[0-9a-f]{12}/app\.css)"', client.get("/sign-in").text)
    answer = client.get(styles[0])
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert client.get("/static/app.css").headers["cache-control"] == "no-cache"
    old = client.get("/static/0123456789ab/app.css")  # of a page that was open while the node was renewed
    assert (old.text, old.headers["cache-control"]) == (answer.text, "no-cache")
    assert client.get("/static/vendor/vendor.lock.json").headers["cache-control"] == "no-cache"
    assert client.get("/static/../app.py").status_code == 404


@pytest.mark.parametrize(
    ("path", "status", "ja"),
    [("/nowhere", 404, "ページが見つかりません"), ("/static/none.css", 404, "ページが見つかりません"),
     ("/broken", 500, "処理を続けられませんでした"), ("/away", 503, "ただいま応答できません")],
)  # fmt: skip
def test_errors_help_in_the_persons_language(browser: OpenClient, path: str, status: int, ja: str) -> None:
    answer = browser(lang="ja").get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert ja in answer.text and 'href="/"' in answer.text and "YAMADA" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store" and answer.headers["x-content-type-options"] == "nosniff"
    assert (answer.headers.get("retry-after") is not None) == (status == 503)


def test_the_wrong_method_is_a_page_too(browser: OpenClient) -> None:
    answer = browser().post("/", headers={"cookie": ""})
    assert answer.status_code == 405
    assert "This request cannot be taken" in answer.text


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("/api/v1/nowhere", "text/html", 404),
        ("/api/v1/me", "text/html", 401),
        ("/dicom-web/studies", "text/html", 404),
        ("/nowhere", "application/json", 404),
        ("/broken", "application/json", 500),
    ],
)
def test_machines_keep_problem_documents(browser: OpenClient, path: str, accept: str, status: int) -> None:
    answer = browser().get(path, headers={"accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["status"] == status


@pytest.mark.parametrize("form", ["a=" + "b" * 20_000, "&".join(f"a{i}=1" for i in range(50))])
def test_a_form_that_is_too_big_is_refused(browser: OpenClient, form: str) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert browser().post("/sign-in", content=form, headers=headers).status_code == 422
