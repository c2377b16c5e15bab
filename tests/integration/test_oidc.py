"""Log-in by a real OpenID provider: first and later log-ins, groups, and everything that is not what was asked for."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from time import time
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx2
import pytest
from httpx2 import Response
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from sqlmodel import select
from starlette.testclient import TestClient

from core.db import transaction
from core.door_key import open_door_key
from core.errors import NotAuthenticated, Unavailable
from core.models.audit import AuditEvent
from core.models.people import ExternalIdentity, Grant, Role, User
from core.permissions import SYSTEM
from core.services import accounts, oidc
from core.settings import Settings
from tests.oidc_provider import RunningProvider, free_port, planned_provider, running_provider
from tests.postgres_fixture import ScratchPostgres
from tests.served import Served, serve

GROUPS = {"leads": [["DOM", "liver"], ["DOM", "breast"]], "ops": [["CENOP", "*"]]}
HTML = {"accept": "text/html,*/*;q=0.8", "accept-language": "en", "sec-fetch-site": "same-origin"}


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningProvider, int]]:
    port = free_port()
    planned = planned_provider(tmp_path_factory.mktemp("oidc"))
    with running_provider(f"http://127.0.0.1:{port}{oidc.CALLBACK}", planned) as running:
        yield running, port


@pytest.fixture(scope="module")
def node(postgres: ScratchPostgres, provider: tuple[RunningProvider, int]) -> Iterator[Served]:
    running, port = provider
    with serve(postgres, "central", port=port, **running.settings(**GROUPS)) as served:
        served.client.headers.update(HTML)
        yield served


@pytest.fixture(autouse=True)
def fresh(node: Served) -> Iterator[None]:
    node.client.cookies.clear()
    yield
    node.client.cookies.clear()


@pytest.fixture
def walk(provider: tuple[RunningProvider, int]) -> Callable[[str, str], str]:
    return provider[0].walk


def begin(node: Served, to: str = "/sign-in/oidc") -> str:
    answer = node.client.get(to)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def come_back(node: Served, address: str) -> Response:
    parts = urlsplit(address)
    return node.client.get(f"{parts.path}?{parts.query}")


def enter(node: Served, walk: Callable[[str, str], str], login: str) -> Response:
    node.client.cookies.clear()
    return come_back(node, walk(begin(node), login))


def told(node: Served, answer: Response, why: str, words: str) -> None:
    """Nobody is in, the sign-in page says why, and nothing that came with the address is left in it."""
    assert (answer.status_code, answer.headers["location"]) == (303, f"/sign-in?why={why}")
    page = node.client.get(answer.headers["location"]).text
    assert words in page and 'role="alert"' in page and 'name="password"' in page
    assert node.client.get("/account").status_code == 303


def grants_of(node: Served, name: str) -> set[tuple[str, str, bool]]:
    with transaction(node.node.engine, "test.grants") as session:
        owner = select(User.id).where(User.name == name)
        rows = session.exec(select(Grant).where(Grant.user_id == session.exec(owner).one()))
        return {(Role(row.role).value, row.domain, row.by_group) for row in rows}


class TestTheWay:
    def test_the_request_is_code_flow_with_pkce_state_and_nonce(self, node: Served) -> None:
        assert "Sign in with 病院の統合認証" in node.client.get("/sign-in").text
        asked = parse_qs(urlsplit(begin(node)).query)
        assert asked["response_type"] == ["code"] and asked["code_challenge_method"] == ["S256"]
        assert len(asked["state"][0]) >= 43 and len(asked["nonce"][0]) >= 43 and len(asked["code_challenge"][0]) == 43
        assert asked["scope"] == ["openid profile groups"]
        again = parse_qs(urlsplit(begin(node)).query)
        assert not {asked[name][0] for name in ("state", "nonce", "code_challenge")} & {
            again[name][0] for name in ("state", "nonce", "code_challenge")
        }

    def test_the_cookie_says_nothing_and_lives_for_minutes(self, node: Served) -> None:
        answer = node.client.get("/sign-in/oidc")
        cookie = answer.headers["set-cookie"]
        state = parse_qs(urlsplit(answer.headers["location"]).query)["state"][0]
        assert "Max-Age=600" in cookie and "HttpOnly" in cookie and "SameSite=lax" in cookie
        value = cookie.partition("=")[2].partition(";")[0].strip('"')
        assert state.encode() not in base64.urlsafe_b64decode(value)

    def test_the_first_log_in_makes_the_account(self, node: Served, walk: Callable[[str, str], str]) -> None:
        address = walk(begin(node, "/sign-in/oidc?next=/account?lang=en"), "ana+leads")
        answer = come_back(node, address)
        assert (answer.status_code, answer.headers["location"]) == (303, "/account?lang=en")
        page = node.client.get("/account").text
        assert "ana" in page and "病院の統合認証" in page and "Domain lead" in page
        assert "Present password" not in page and "authenticator" not in page
        assert grants_of(node, "ana") == {("DOM", "liver", True), ("DOM", "breast", True)}
        with transaction(node.node.engine, "test.identity") as session:
            identity = session.exec(select(ExternalIdentity).where(ExternalIdentity.subject == "ana+leads")).one()
            assert identity.issuer == node.settings.oidc_issuer
            wanted = select(AuditEvent).where(AuditEvent.actor == "ana", AuditEvent.verb == "log-in")
            assert session.exec(wanted).one().detail == {"door": "oidc"}

    def test_a_later_log_in_is_the_same_account_with_the_groups_of_now(
        self, node: Served, walk: Callable[[str, str], str]
    ) -> None:
        enter(node, walk, "ben+ops")
        with transaction(node.node.engine, "test.groups") as session:
            ben = session.exec(select(User).where(User.name == "ben")).one()
            session.add(Grant(user_id=ben.id, role=Role.AUD, domain="*"))
            session.add(Grant(user_id=ben.id, role=Role.DOM, domain="heart", by_group=True))  # of a group that is left
        enter(node, walk, "ben+ops")
        assert grants_of(node, "ben") == {("CENOP", "*", True), ("AUD", "*", False)}

    def test_names_are_made_unique(self, node: Served, walk: Callable[[str, str], str]) -> None:
        enter(node, walk, "cleo+leads")
        enter(node, walk, "cleo+ops")  # another subject
        enter(node, walk, "System+ops")  # the audit's own name
        assert node.client.get("/api/v1/me").json()["name"] == "System-2"
        enter(node, walk, "cleo+ops")
        assert node.client.get("/api/v1/me").json()["name"] == "cleo-2"

    def test_who_has_no_group_here_is_in_without_rights_and_told(
        self, node: Served, walk: Callable[[str, str], str]
    ) -> None:
        answer = enter(node, walk, "dora+others")
        assert answer.headers["location"] == "/account"
        assert "none of your groups has a role here" in node.client.get("/account").text
        assert node.client.get("/people").status_code == 403

    def test_a_closed_account_stays_out(self, node: Served, walk: Callable[[str, str], str]) -> None:
        enter(node, walk, "emil+ops")
        with transaction(node.node.engine, "test.close") as session:
            emil = session.exec(select(User).where(User.name == "emil")).one()
            accounts.disable_user(session, SYSTEM, emil.id)
        answer = enter(node, walk, "emil+ops")
        told(node, answer, "closed", "This account is closed")

    def test_turning_back_at_the_provider_is_no_error_page(
        self, node: Served, provider: tuple[RunningProvider, int]
    ) -> None:
        answer = come_back(node, provider[0].cancel(begin(node)))
        told(node, answer, "cancelled", "was cancelled")

    def test_signing_out_is_local(self, node: Served, walk: Callable[[str, str], str]) -> None:
        enter(node, walk, "fay+ops")
        assert node.client.post("/sign-out").headers["location"] == "/sign-in"
        assert node.client.get("/account").status_code == 303


class TestForgeries:
    def refused(self, node: Served, answer: Response) -> None:
        told(node, answer, "other-browser", "Begin again")

    def test_a_forged_state(self, node: Served, walk: Callable[[str, str], str]) -> None:
        address = walk(begin(node), "mallory+ops")
        state = parse_qs(urlsplit(address).query)["state"][0]
        self.refused(node, come_back(node, address.replace(state, "A" + state[1:])))

    def test_the_callback_of_another_browser(self, node: Served, walk: Callable[[str, str], str]) -> None:
        address = walk(begin(node), "mallory+ops")
        node.client.cookies.clear()  # the victim's browser has begun nothing
        self.refused(node, come_back(node, address))
        begin(node)  # or something else
        self.refused(node, come_back(node, address))

    def test_a_code_counts_once(self, node: Served, walk: Callable[[str, str], str]) -> None:
        address = walk(begin(node), "mallory+ops")
        kept = dict(node.client.cookies)
        assert come_back(node, address).status_code == 303
        node.client.cookies.clear()
        node.client.cookies.update(kept)
        self.refused(node, come_back(node, address))

    def test_an_altered_or_stale_cookie(self, node: Served, walk: Callable[[str, str], str]) -> None:
        name = next(iter(name for name in _cookies_after(node, begin(node)) if name.endswith("-oidc")))
        address = walk(begin(node), "mallory+ops")
        sealed = node.client.cookies[name].strip('"')
        node.client.cookies.clear()
        node.client.cookies.update({name: sealed[:-8] + "AAAAAAAA"})
        self.refused(node, come_back(node, address))
        key, issuer = open_door_key(node.settings), node.settings.oidc_issuer or ""
        begun = json.loads(key.open("oidc", issuer, base64.urlsafe_b64decode(sealed)))
        begun["at"] = time() - oidc.LIFETIME_S - 1
        stale = base64.urlsafe_b64encode(key.seal("oidc", issuer, json.dumps(begun).encode())).decode()
        node.client.cookies.clear()
        node.client.cookies.update({name: stale})
        self.refused(node, come_back(node, address))

    def test_the_answer_of_another_provider(self, node: Served, walk: Callable[[str, str], str]) -> None:
        """RFC 9207."""
        address = walk(begin(node), "mallory+ops")
        answer = come_back(node, address.replace("iss=", "iss=http%3A%2F%2Fevil.example&x="))
        told(node, answer, "not-checked", "could not be verified")
        answer = come_back(node, walk(begin(node), "mallory+ops").partition("&iss=")[0])
        told(node, answer, "not-checked", "could not be verified")

    def test_the_providers_words_are_not_repeated(self, node: Served) -> None:
        state = parse_qs(urlsplit(begin(node)).query)["state"][0]
        answer = node.client.get(
            oidc.CALLBACK, params={"state": state, "error": "boom<b>", "error_description": "山田花子"}
        )
        told(node, answer, "not-let-in", "did not let you in")

    def test_the_way_back_stays_here(self, node: Served, walk: Callable[[str, str], str]) -> None:
        answer = come_back(node, walk(begin(node, "/sign-in/oidc?next=//evil.example"), "gus+ops"))
        assert answer.headers["location"] == "/"


def _cookies_after(node: Served, _: str) -> list[str]:
    return list(node.client.cookies)


KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
OTHER = RSAKey.generate_key(2048, {"kid": "two", "use": "sig", "alg": "RS256"})
ISSUER, CLIENT = "http://127.0.0.1:9", "sonobank"


class Liar:
    """A provider whose every answer the test writes, behind the very functions that ask one."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(
            _env_file=None, role="central", data_dir=folder / "data", keys_dir=folder / "keys",
            oidc_issuer=ISSUER, oidc_client_id=CLIENT,
        )  # type: ignore[call-arg]  # fmt: skip
        self.keys: list[RSAKey] = [KEY]
        self.asked_for_keys = 0
        self.broken: bytes | None = None
        self.document: dict[str, Any] = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/auth",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/jwks",
            "userinfo_endpoint": f"{ISSUER}/me",
        }
        self.info: dict[str, Any] = {"sub": "ana", "name": "Ana", "groups": ["leads"]}
        self.provider = oidc.Provider(self.settings)
        self.claims: dict[str, Any] = {}
        self.signing: Any = KEY
        self.header: dict[str, Any] = {"alg": "RS256", "kid": "one"}
        self.token: dict[str, Any] = {"access_token": "at", "token_type": "Bearer"}

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if self.broken is not None:
            return httpx2.Response(200, content=self.broken)
        if path.endswith("openid-configuration"):
            return httpx2.Response(200, json=self.document)
        if path == "/jwks":
            self.asked_for_keys += 1
            return httpx2.Response(200, json=KeySet(self.keys).as_dict(private=False))
        if path == "/me":
            return httpx2.Response(200, json=self.info)
        return httpx2.Response(200, json=self.token | {"id_token": self.id_token()})

    def id_token(self) -> str:
        return jwt.encode(self.header, self.claims, self.signing, algorithms=["RS256", "HS256", "none"])

    def log_in(self, **claims: object) -> oidc.Person:
        """One whole way; `claims` replace or, by None, drop those of a good ID token."""
        address, cookie = self.provider.begin("/")
        asked = dict(parse_qsl(urlsplit(address).query))
        now = int(time())
        good = {"iss": ISSUER, "aud": CLIENT, "sub": "ana", "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        self.claims = {name: value for name, value in (good | claims).items() if value is not None}
        return self.provider.finish(cookie, {"state": asked["state"], "code": "c"})[0]


@pytest.fixture
def liar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Liar:
    made = Liar(tmp_path)
    transport = httpx2.MockTransport(made.answer)
    original = httpx2.Client.__init__

    def init(self: httpx2.Client, **options: Any) -> None:
        original(self, **(options | {"transport": transport}))

    monkeypatch.setattr(httpx2.Client, "__init__", init)
    return made


def half(token: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()[:16]).decode().rstrip("=")


def not_verified(liar: Liar, **claims: object) -> None:
    with pytest.raises(NotAuthenticated) as raised:
        liar.log_in(**claims)
    assert raised.value.message == oidc.NOT_CHECKED


class TestIdTokens:
    def test_a_good_one(self, liar: Liar) -> None:
        person = liar.log_in(at_hash=half("at"))
        assert person == oidc.Person(ISSUER, "ana", "Ana", ("leads",))
        assert liar.log_in(aud=[CLIENT, "other"], azp=CLIENT, name="In the token", groups="one").groups == ("one",)

    @pytest.mark.parametrize(
        "claims",
        [
            {"nonce": "another"},
            {"nonce": None},
            {"iss": "http://127.0.0.1:10"},
            {"iss": None},
            {"aud": "other"},
            {"aud": ["other", "more"]},
            {"aud": [CLIENT, "other"]},
            {"aud": [CLIENT, "other"], "azp": "other"},
            {"aud": None},
            {"azp": "other"},
            {"exp": 1},
            {"exp": None},
            {"exp": "soon"},
            {"iat": None},
            {"iat": 2**40},
            {"nbf": 2**40},
            {"sub": None},
            {"sub": ""},
            {"sub": 7},
            {"sub": "x" * 256},
            {"at_hash": half("another")},
            {"at_hash": "x"},
        ],
        ids=str,
    )
    def test_what_is_wrong_lets_nobody_in(self, liar: Liar, claims: dict[str, object]) -> None:
        not_verified(liar, **claims)

    def test_a_signature_by_somebody_else(self, liar: Liar) -> None:
        liar.signing = OTHER
        not_verified(liar)

    def test_no_signature_and_one_by_the_public_key(self, liar: Liar) -> None:
        liar.id_token = lambda: _by_public_key(liar.claims)  # type: ignore[method-assign]
        not_verified(liar)
        liar.id_token = lambda: f"{_b64({'alg': 'none'})}.{_b64(liar.claims)}."  # type: ignore[method-assign]
        not_verified(liar)
        liar.id_token = lambda: "no token"  # type: ignore[method-assign]
        not_verified(liar)

    def test_new_keys_are_fetched_but_not_at_will(self, liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
        liar.log_in()
        liar.keys, liar.signing, liar.header = [OTHER], OTHER, {"alg": "RS256", "kid": "two"}
        not_verified(liar)
        assert liar.asked_for_keys == 1  # within a minute nobody makes this node ask again
        monkeypatch.setattr(oidc, "_KEYS_AGAIN_S", 0)
        assert liar.log_in().subject == "ana"
        assert liar.asked_for_keys == 2

    def test_userinfo_of_somebody_else(self, liar: Liar) -> None:
        liar.info["sub"] = "ben"
        not_verified(liar)

    def test_odd_groups_and_names_do_no_harm(self, liar: Liar) -> None:
        liar.info = {"sub": "ana", "preferred_username": 7, "name": ["x"], "groups": [1, None, "leads", {}]}
        assert liar.log_in() == oidc.Person(ISSUER, "ana", "", ("leads",))
        liar.info["groups"] = {"leads": True}
        assert liar.log_in().groups == ()


def _by_public_key(claims: dict[str, Any]) -> str:
    """HS256 with what everybody knows as its secret (the old confusion of algorithms)."""
    body = f"{_b64({'alg': 'HS256', 'kid': 'one'})}.{_b64(claims)}"
    made = hmac.digest(KEY.as_pem(private=False), body.encode(), "sha256")
    return f"{body}.{base64.urlsafe_b64encode(made).decode().rstrip('=')}"


def _b64(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


class TestTrouble:
    def test_a_provider_that_is_away_is_told_and_passwords_still_work(self, postgres: ScratchPostgres) -> None:
        issuer = f"http://127.0.0.1:{free_port()}"
        with serve(postgres, "pacs", oidc_issuer=issuer, oidc_client_id="x", oidc_groups={"a": [["AUD", "*"]]}) as away:
            away.person("sato", [], password="correct horse battery")
            away.client.headers.update(HTML)
            told(away, away.client.get("/sign-in/oidc"), "away", "cannot be reached")
            form = {"name": "sato", "password": "correct horse battery"}
            assert away.client.post("/sign-in", data=form, headers=HTML).status_code == 303

    def test_without_a_provider_there_is_no_such_page(self, postgres: ScratchPostgres) -> None:
        with serve(postgres, "pacs") as none:
            client: TestClient = none.client
            assert client.get("/sign-in/oidc", headers=HTML).status_code == 404
            assert client.get(oidc.CALLBACK, headers=HTML).status_code == 404
            assert "/sign-in/oidc" not in client.get("/sign-in", headers=HTML).text

    @pytest.mark.parametrize("body", [b"<html>", b"[]", b"", b"x" * (2 << 20)], ids=len)
    def test_a_document_that_is_none(self, liar: Liar, body: bytes) -> None:
        liar.broken = body
        with pytest.raises(Unavailable):
            liar.provider.begin("/")
