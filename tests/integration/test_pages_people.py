"""The pages of people and of one's own account, the second step of a log-in, and what is lost when a session ends."""

import re
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pyotp
import pytest
from httpx2 import Response
from sqlmodel import select

from commands import admin as admin_commands
from core.clock import now_utc
from core.db import transaction
from core.door_key import FILE, open_door_key
from core.errors import BadConfiguration, NotFound, Refused
from core.models.audit import AuditEvent
from core.models.people import ApiToken, Grant, HalfSignIn, OneTimePassword, RecoveryCode, Role, User, WebSession
from core.permissions import Verb
from core.security import LoginThrottle, secret_hash, session_cookie_name
from core.settings import Settings
from tests.postgres_fixture import ScratchPostgres
from tests.served import Served, serve

PASSWORD = "correct horse battery"
HTML = {"accept": "text/html,*/*;q=0.8", "accept-language": "en", "sec-fetch-site": "same-origin"}


@pytest.fixture(scope="module", params=["central"])
def node(request: pytest.FixtureRequest, postgres: ScratchPostgres) -> Iterator[Served]:
    with serve(postgres, request.param) as served:
        served.client.headers.update(HTML)
        yield served


@pytest.fixture(autouse=True)
def fresh(node: Served) -> Iterator[None]:
    node.app.state.throttle = LoginThrottle()
    node.client.cookies.clear()
    yield
    node.client.cookies.clear()


def person(node: Served, *grants: Role | tuple[Role, str], name: str = "") -> str:
    """Somebody new, with the password of these tests."""
    name = name or f"p{uuid4().hex[:10]}"
    node.person(name, [one if isinstance(one, tuple) else (one, "*") for one in grants], password=PASSWORD)
    return name


def sign_in(node: Served, name: str, password: str = PASSWORD, to: str = "/sign-in") -> Response:
    node.client.cookies.clear()
    return node.client.post(to, data={"name": name, "password": password})


def admin(node: Served) -> str:
    name = person(node, Role.ADMIN)
    assert sign_in(node, name).status_code == 303
    return name


def user_of(node: Served, name: str) -> User:
    with transaction(node.node.engine, "test.user") as session:
        return session.exec(select(User).where(User.name == name)).one()


def grants_of(node: Served, name: str) -> set[tuple[str, str]]:
    with transaction(node.node.engine, "test.grants") as session:
        rows = session.exec(select(Grant).where(Grant.user_id == user_of(node, name).id))
        return {(Role(row.role).value, row.domain) for row in rows}


def events(node: Served, verb: str, name: str) -> list[AuditEvent]:
    with transaction(node.node.engine, "test.events") as session:
        wanted = select(AuditEvent).where(AuditEvent.verb == verb, AuditEvent.subject == str(user_of(node, name).id))
        return list(session.exec(wanted))


def shown(page: Response, pattern: str) -> str:
    found = re.search(pattern, page.text)
    assert found, pattern
    return found[1]


class TestPeople:
    def test_the_list_is_searched_by_name_role_and_state(self, node: Served) -> None:
        person(node, (Role.DOM, "liver"), name="search-me.ito")
        admin(node)
        page = node.client.get("/people")
        assert page.status_code == 200 and "search-me.ito" in page.text
        assert re.search(r"Domain lead <span>Liver tumours</span>", page.text)
        found = node.client.post("/people/search", data={"words": "ME.I", "role": "DOM"})
        assert "search-me.ito" in found.text and "<html" in found.text
        assert "search-me.ito" not in node.client.post("/people/search", data={"words": "me.i", "role": "AUD"}).text
        assert "search-me.ito" not in node.client.get("/people?state=closed").text
        assert "Nobody matches" in node.client.post("/people/search", data={"words": "100%_"}).text

    def test_the_search_of_htmx_is_its_rows(self, node: Served) -> None:
        admin(node)
        head = {"hx-request": "true", "hx-target": "people-rows"}
        part = node.client.post("/people/search", data={"words": "p"}, headers=head)
        assert part.text.lstrip().startswith("<section") and "<html" not in part.text

    def test_a_new_person_gets_a_password_that_is_shown_once(self, node: Served) -> None:
        admin(node)
        form = {"name": "new.person", "password": "", "grant": ["DOM:liver", "AUD:*", "KING:*", "CUR:no way"]}
        made = node.client.post("/people", data=form)
        assert made.status_code == 200
        password = shown(made, r"<code>([a-z2-9-]{23})</code>")
        assert grants_of(node, "new.person") == {("DOM", "liver"), ("AUD", "*")}
        page = node.client.get(f"/people/{user_of(node, 'new.person').id}")
        assert password not in page.text and page.headers["cache-control"] == "no-store"
        assert sign_in(node, "new.person", password).status_code == 303
        assert len(events(node, "user.create", "new.person")) == 1

    @pytest.mark.parametrize(
        ("form", "status", "words"),
        [
            ({"name": "bad name", "password": ""}, 422, "Letters, digits"),
            ({"name": "", "password": ""}, 422, "Letters, digits"),
            ({"name": "short.one", "password": "tiny-pw-17"}, 422, "12 characters"),
            ({"name": "OPERATOR", "password": ""}, 409, "of that name already"),
            ({"name": "TAKEN", "password": ""}, 409, "of that name already"),
        ],
    )
    def test_what_is_wrong_stands_beside_its_field(
        self, node: Served, form: dict[str, str], status: int, words: str
    ) -> None:
        if form["name"] == "TAKEN":
            form = form | {"name": person(node).upper()}
        admin(node)
        answer = node.client.post("/people", data=form | {"grant": "AUD:*"})
        assert answer.status_code == status and words in answer.text and 'aria-invalid="true"' in answer.text
        assert f'value="{form["name"]}"' in answer.text and 'value="AUD:*" checked' in answer.text
        assert form["password"] not in answer.text or not form["password"]

    def test_rights_are_changed_at_once(self, node: Served) -> None:
        name = person(node, (Role.DOM, "liver"))
        token = node.bearer(name)
        admin(node)
        where = f"/people/{user_of(node, name).id}"
        assert 'value="DOM:liver" checked' in node.client.get(where).text
        answer = node.client.post(f"{where}/grants", data={"grant": ["DOM:breast", "AUD:*"]})
        assert (answer.status_code, answer.headers["location"]) == (303, where)
        assert "roles are saved" in node.client.get(where).text
        assert grants_of(node, name) == {("DOM", "breast"), ("AUD", "*")}
        node.client.cookies.clear()
        assert node.client.get("/api/v1/me", headers=token).json()["scopes"]["bank:read"] == ["breast"]

    def test_nobody_takes_the_last_admin_from_themselves(self, node: Served) -> None:
        name = admin(node)
        where = f"/people/{user_of(node, name).id}"
        answer = node.client.post(f"{where}/grants", data={"grant": ["AUD:*"]})
        assert answer.status_code == 409 and "administrator" in answer.text and 'role="alert"' in answer.text
        assert node.client.post(f"{where}/disable").status_code == 409
        assert grants_of(node, name) == {("ADMIN", "*")}
        assert node.client.post(f"{where}/grants", data={"grant": ["AUD:*", "ADMIN:*"]}).status_code == 303

    def test_closing_an_account_ends_what_it_has_for_good(self, node: Served) -> None:
        name = person(node, Role.AUD)
        token, cookie = node.bearer(name), {session_cookie_name(node.settings): node.cookie(name)}
        admin(node)
        where = f"/people/{user_of(node, name).id}"
        assert node.client.post(f"{where}/disable").status_code == 303
        assert "Closed" in node.client.get(where).text
        assert node.client.post(f"{where}/enable").status_code == 303
        node.client.cookies.clear()
        assert node.client.get("/api/v1/me", headers=token).status_code == 401
        node.client.cookies.update(cookie)
        assert node.client.get("/").status_code == 303
        assert sign_in(node, name).status_code == 303

    def test_a_reset_password_ends_what_was_open(self, node: Served) -> None:
        name = person(node, Role.AUD)
        token = node.bearer(name)
        admin(node)
        where = f"/people/{user_of(node, name).id}"
        password = shown(node.client.post(f"{where}/password"), r"<code>([a-z2-9-]{23})</code>")
        assert sign_in(node, name).status_code == 401
        assert sign_in(node, name, password).status_code == 303
        node.client.cookies.clear()
        assert node.client.get("/api/v1/me", headers=token).status_code == 401

    def test_who_has_no_password_gets_none(self, node: Served) -> None:
        node.person("relay-machine", [(Role.MACHINE, "*")], site="KYOTO01")
        admin(node)
        answer = node.client.post(f"/people/{user_of(node, 'relay-machine').id}/password")
        assert answer.status_code == 409
        page = node.client.get(f"/people/{user_of(node, 'relay-machine').id}").text
        assert "Reset password" not in page and "API token" in page

    def test_what_is_not_there_is_404(self, node: Served) -> None:
        admin(node)
        assert node.client.get(f"/people/{uuid4()}").status_code == 404
        for deed in ("grants", "disable", "enable", "password", "totp"):
            assert node.client.post(f"/people/{uuid4()}/{deed}", data={"grant": "AUD:*"}).status_code == 404


class TestAccount:
    def test_everybody_sees_their_own_rights(self, node: Served) -> None:
        name = person(node, (Role.DOM, "liver"))
        sign_in(node, name)
        page = node.client.get("/account").text
        assert "Domain lead" in page and "Liver tumours" in page
        sign_in(node, person(node))
        assert "Ask the administrator for one" in node.client.get("/account").text

    def test_a_changed_password_ends_the_other_browsers(self, node: Served) -> None:
        name = person(node)
        other = node.cookie(name)
        sign_in(node, name)
        form = {"old": PASSWORD, "new": "another long password", "again": "another long password"}
        assert node.client.post("/account/password", data=form).headers["location"] == "/account"
        assert "Your password is changed" in node.client.get("/account").text
        node.client.cookies.clear()
        node.client.cookies.update({session_cookie_name(node.settings): other})
        assert node.client.get("/account").status_code == 303
        assert sign_in(node, name).status_code == 401
        assert sign_in(node, name, "another long password").status_code == 303

    @pytest.mark.parametrize(
        ("form", "words"),
        [
            ({"old": "wrong", "new": "another long password", "again": "another long password"}, "old password is"),
            ({"old": PASSWORD, "new": "another long password", "again": "different"}, "differ"),
            ({"old": PASSWORD, "new": "tiny-pw-17", "again": "tiny-pw-17"}, "12 characters"),
        ],
    )
    def test_a_password_that_cannot_be(self, node: Served, form: dict[str, str], words: str) -> None:
        name = person(node)
        sign_in(node, name)
        answer = node.client.post("/account/password", data=form)
        assert answer.status_code == 422 and words in answer.text and form["new"] not in answer.text
        assert sign_in(node, name).status_code == 303

    def test_the_old_password_cannot_be_guessed_here_either(self, node: Served) -> None:
        sign_in(node, person(node))
        form = {"old": "wrong", "new": "another long password", "again": "another long password"}
        tries = [node.client.post("/account/password", data=form).status_code for _ in range(11)]
        assert tries[-1] == 429

    def test_a_token_is_made_shown_once_and_revoked(self, node: Served) -> None:
        name = person(node, Role.DOM)
        sign_in(node, name)
        form = {"label": "counts", "days": "30", "scope": [Verb.SEE_BANK, Verb.PEOPLE]}
        made = node.client.post("/account/tokens", data=form)
        secret = shown(made, r"<code>([\w-]{43})</code>")
        assert f'data-copy="{secret}"' in made.text
        head = {"Authorization": f"Bearer {secret}"}
        cookies = dict(node.client.cookies)
        node.client.cookies.clear()
        assert node.client.get("/api/v1/me", headers=head).json()["scopes"] == {"bank:read": ["*"]}
        node.client.cookies.update(cookies)
        page = node.client.get("/account").text
        assert secret not in page and "counts" in page
        where = shown(node.client.get("/account"), r'action="(/account/tokens/[^"]+/revoke)"')
        other = person(node, Role.ADMIN)
        sign_in(node, other)
        assert node.client.post(where).status_code == 404
        node.client.cookies.clear()
        node.client.cookies.update(cookies)
        assert node.client.post(where).headers["location"] == "/account#tokens"
        node.client.cookies.clear()
        assert node.client.get("/api/v1/me", headers=head).status_code == 401

    @pytest.mark.parametrize(
        "form",
        [
            {"label": "", "days": "30", "scope": "bank:read"},
            {"label": "x" * 65, "days": "30", "scope": "bank:read"},
            {"label": "x", "days": "9999", "scope": "bank:read"},
            {"label": "x", "days": "30"},
            {"label": "x", "days": "30", "scope": "people"},
        ],
    )
    def test_a_token_that_makes_no_sense(self, node: Served, form: dict[str, str]) -> None:
        sign_in(node, person(node, Role.DOM))
        answer = node.client.post("/account/tokens", data=form)
        assert answer.status_code == 422 and 'role="alert"' in answer.text

    def test_a_token_made_with_a_token_does_not_outlive_it(self, node: Served) -> None:
        name = person(node, Role.AUD)
        head = {"Authorization": f"Bearer {node.token(name, lifetime=timedelta(minutes=5))}"}
        wish = {"label": "longer", "scopes": ["audit:read"], "days": 300}
        made = node.client.post("/api/v1/tokens", json=wish, headers=head)
        with transaction(node.node.engine, "test.token") as session:
            row = session.exec(select(ApiToken).where(ApiToken.token_hash == secret_hash(made.json()["token"]))).one()
        assert row.expires_at - now_utc() < timedelta(minutes=5)


def begin_totp(node: Served, name: str) -> tuple[pyotp.TOTP, list[str]]:
    """Set it up for somebody who is signed in then: (their authenticator, recovery codes)."""
    sign_in(node, name)
    assert node.client.post("/account/totp").headers["location"] == "/account#totp"
    page = node.client.get("/account")
    assert re.search(r'<svg aria-hidden="true"[^>]* viewBox="0 0 \d+ \d+"', page.text)  # whole at any size
    assert "style=" not in page.text
    app = pyotp.TOTP(shown(page, r'data-copy="([A-Z2-7]{32})"'))
    done = node.client.post("/account/totp/confirm", data={"code": code_of(app, -1)})
    assert done.status_code == 200
    return app, re.findall(r"<li><code>([\w-]{19})</code>", done.text)


def code_of(app: pyotp.TOTP, steps: int = 0) -> str:
    return app.at(now_utc(), counter_offset=steps)


class TestSecondStep:
    def test_a_code_is_asked_for_after_the_password(self, node: Served) -> None:
        name = person(node, Role.AUD)
        app, recovery = begin_totp(node, name)
        assert len(recovery) == 10 and len(set(recovery)) == 10
        first = sign_in(node, name, to="/sign-in?next=/account")
        assert first.headers["location"] == "/sign-in/code?next=/account"
        assert node.client.get("/account").status_code == 303  # the password alone opens nothing
        assert node.client.get("/api/v1/me").status_code == 401
        wrong = node.client.post("/sign-in/code?next=/account", data={"code": "000000"})
        assert wrong.status_code == 422 and "wrong" in wrong.text
        done = node.client.post(
            "/sign-in/code?next=/account", data={"code": f" {code_of(app)[:3]} {code_of(app)[3:]} "}
        )
        assert (done.status_code, done.headers["location"]) == (303, "/account")
        assert node.client.get("/account").status_code == 200
        assert events(node, "log-in", name)[-1].detail == {"door": "page", "second": "totp"}
        assert [event.detail["step"] for event in events(node, "log-in.failed", name)] == ["code"]

    def test_each_code_counts_once_and_the_clock_may_be_a_step_off(self, node: Served) -> None:
        name = person(node)
        app, _ = begin_totp(node, name)
        for steps, status in ((-1, 422), (-2, 422), (2, 422), (1, 303), (1, 422), (0, 422)):
            sign_in(node, name)
            code = code_of(app, steps)
            assert node.client.post("/sign-in/code", data={"code": code}).status_code == status, steps
            with transaction(node.node.engine, "test.calm") as session:
                session.exec(
                    select(OneTimePassword).where(OneTimePassword.user_id == user_of(node, name).id)
                ).one().failures = 0

    def test_a_recovery_code_counts_once(self, node: Served) -> None:
        name = person(node)
        _, recovery = begin_totp(node, name)
        for status in (303, 422):
            sign_in(node, name)
            answer = node.client.post("/sign-in/code", data={"code": recovery[0].upper().replace("-", " ")})
            assert answer.status_code == status
        assert len(events(node, "totp.recovery", name)) == 1
        with transaction(node.node.engine, "test.codes") as session:
            rows = session.exec(select(RecoveryCode).where(RecoveryCode.user_id == user_of(node, name).id)).all()
        assert not any(recovery[0] in row.code_hash or recovery[0].replace("-", "") in row.code_hash for row in rows)

    def test_guessing_is_stopped_whatever_the_browser(self, node: Served) -> None:
        name = person(node)
        app, _ = begin_totp(node, name)
        sign_in(node, name)
        tries = [node.client.post("/sign-in/code", data={"code": "000000"}).status_code for _ in range(6)]
        assert tries == [422] * 4 + [303] * 2  # the fifth is the last of this log-in
        node.app.state.throttle = LoginThrottle()
        sign_in(node, name)
        blocked = node.client.post("/sign-in/code", data={"code": code_of(app)})
        assert blocked.status_code == 429 and "15 minutes" in blocked.text

    def test_nobody_is_half_way_without_the_password(self, node: Served) -> None:
        name = person(node)
        app, _ = begin_totp(node, name)
        node.client.cookies.clear()
        assert node.client.get("/sign-in/code").headers["location"] == "/sign-in"
        node.client.cookies.update({f"{session_cookie_name(node.settings)}-step": "made up"})
        assert node.client.post("/sign-in/code", data={"code": code_of(app)}).headers["location"] == "/sign-in"
        sign_in(node, name)
        with transaction(node.node.engine, "test.late") as session:
            for half in session.exec(select(HalfSignIn).where(HalfSignIn.user_id == user_of(node, name).id)):
                half.expires_at = now_utc()
        assert node.client.post("/sign-in/code", data={"code": code_of(app)}).headers["location"] == "/sign-in"

    def test_the_half_way_cookie_is_no_session(self, node: Served) -> None:
        name = person(node, Role.AUD)
        begin_totp(node, name)
        sign_in(node, name)
        half = node.client.cookies[f"{session_cookie_name(node.settings)}-step"]
        node.client.cookies.clear()
        node.client.cookies.update({session_cookie_name(node.settings): half})
        assert node.client.get("/account").status_code == 303

    def test_the_api_does_not_go_round_it(self, node: Served) -> None:
        name = person(node, Role.AUD)
        begin_totp(node, name)
        node.client.cookies.clear()
        answer = node.client.post("/api/v1/login", json={"name": name, "password": PASSWORD})
        assert answer.status_code == 403 and "/account" in answer.json()["detail"]

    def test_the_secret_is_sealed_and_shown_no_more(self, node: Served) -> None:
        name = person(node)
        app, _ = begin_totp(node, name)
        assert app.secret not in node.client.get("/account").text
        with transaction(node.node.engine, "test.sealed") as session:
            row = session.get_one(OneTimePassword, user_of(node, name).id)
        assert app.secret.encode() not in row.sealed
        assert (node.settings.keys / FILE).stat().st_mode & 0o777 == 0o600

    def test_new_codes_and_switching_off_ask_for_a_code(self, node: Served) -> None:
        name = person(node)
        app, recovery = begin_totp(node, name)
        assert node.client.post("/account/totp/remove", data={"code": "000000"}).status_code == 422
        renewed = node.client.post("/account/totp/codes", data={"code": code_of(app)})
        fresh_codes = re.findall(r"<li><code>([\w-]{19})</code>", renewed.text)
        assert len(fresh_codes) == 10 and not set(fresh_codes) & set(recovery)
        assert node.client.post("/account/totp/remove", data={"code": recovery[1]}).status_code == 422
        assert node.client.post("/account/totp/remove", data={"code": fresh_codes[1]}).status_code == 303
        assert sign_in(node, name).headers["location"] == "/"

    def test_an_administrator_helps_who_lost_everything(self, node: Served) -> None:
        name = person(node)
        begin_totp(node, name)
        admin(node)
        where = f"/people/{user_of(node, name).id}"
        assert "Reset one-time password" in node.client.get(where).text
        assert node.client.post(f"{where}/totp").status_code == 303
        assert sign_in(node, name).headers["location"] == "/"


def test_a_node_that_requires_it_leads_to_the_set_up_first(postgres: ScratchPostgres) -> None:
    with serve(postgres, "central", totp="required") as node:
        node.client.headers.update(HTML)
        name = person(node, Role.AUD)
        assert sign_in(node, name).headers["location"] == "/sign-in/code"
        page = node.client.get("/sign-in/code")
        app = pyotp.TOTP(shown(page, r'data-copy="([A-Z2-7]{32})"'))
        assert node.client.get("/account").status_code == 303
        done = node.client.post("/sign-in/code", data={"code": code_of(app)})
        assert len(re.findall(r"<li><code>([\w-]{19})</code>", done.text)) == 10
        assert node.client.get("/account").status_code == 200
        assert node.client.post("/account/totp/remove", data={"code": code_of(app, 1)}).status_code == 403
        answer = node.client.post("/api/v1/login", json={"name": person(node), "password": PASSWORD})
        assert answer.status_code == 403


def test_a_node_without_it_asks_for_none(postgres: ScratchPostgres) -> None:
    with serve(postgres, "pacs", totp="off") as node:
        node.client.headers.update(HTML)
        sign_in(node, person(node))
        assert "authenticator" not in node.client.get("/account").text
        assert node.client.post("/account/totp").status_code == 403


class TestTheAudit:
    def test_signing_in_out_and_failing_is_told(self, node: Served) -> None:
        name = person(node)
        sign_in(node, name, "wrong")
        sign_in(node, name)
        node.client.post("/sign-out")
        node.client.post("/api/v1/login", json={"name": name, "password": "wrong"})
        assert [event.actor for event in events(node, "log-in", name)] == [name]
        assert [event.actor for event in events(node, "log-out", name)] == [name]
        failed = events(node, "log-in.failed", name)
        assert {event.detail["door"] for event in failed} == {"page", "api"}
        assert {event.actor for event in failed} == {"visitor"}

    def test_what_was_typed_as_a_name_is_not_kept(self, node: Served) -> None:
        sign_in(node, "MyPasswordInTheWrongField", "x")
        with transaction(node.node.engine, "test.typed") as session:
            rows = session.exec(select(AuditEvent).where(AuditEvent.verb == "log-in.failed")).all()
            assert rows and "WrongField" not in str([row.model_dump() for row in rows])


class TestEndedSessions:
    def end(self, node: Served, name: str) -> None:
        with transaction(node.node.engine, "test.end") as session:
            for row in session.exec(select(WebSession).where(WebSession.user_id == user_of(node, name).id)):
                row.seen_at = now_utc() - timedelta(minutes=16)

    def test_a_page_is_come_back_to(self, node: Served) -> None:
        name = person(node, Role.ADMIN)
        sign_in(node, name)
        self.end(node, name)
        led = node.client.get("/people?state=all").headers["location"]
        assert "saved is safe" in node.client.get(led).text
        assert sign_in(node, name, to=led).headers["location"] == "/people?state=all"

    def test_a_form_that_came_too_late_is_told_and_its_page_come_back_to(self, node: Served) -> None:
        name = person(node, Role.ADMIN)
        where = f"/people/{user_of(node, name).id}"
        sign_in(node, name)
        self.end(node, name)
        led = node.client.post(f"{where}/grants", data={"grant": "AUD:*"}).headers["location"]
        assert "was not saved" in node.client.get(led).text
        assert sign_in(node, name, to=led).headers["location"] == where
        assert grants_of(node, name) == {("ADMIN", "*")}

    @pytest.mark.parametrize(
        ("form", "page"),
        [("/people/search", "/people"), ("/people", "/people"), ("/account/totp/confirm", "/account"), ("/x/y", "")],
    )
    def test_the_page_of_a_form_is_found(self, node: Served, form: str, page: str) -> None:
        answer = node.client.post(form, data={"a": "b"})
        if page:
            assert f"next={page.replace('/', '%2F')}" in answer.headers["location"].split("&")[0]
        else:
            assert answer.status_code == 404

    def test_htmx_is_told_by_its_header(self, node: Served) -> None:
        head = {"hx-request": "true", "hx-current-url": f"{node.settings.base_url}/people?state=all"}
        answer = node.client.post("/people/search", data={"words": "x"}, headers=head)
        assert (answer.status_code, answer.headers["hx-redirect"]) == (
            401,
            "/sign-in?next=%2Fpeople%3Fstate%3Dall&lost=1",
        )


def test_the_operator_helps_at_the_command_line(
    node: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = person(node, Role.AUD)
    begin_totp(node, name)
    token = node.bearer(name)
    monkeypatch.setattr(admin_commands, "load", lambda **_: node.settings)
    monkeypatch.setattr(admin_commands, "open_node", lambda _: nullcontext(node.node))
    admin_commands.password_reset("central", name)
    password = capsys.readouterr().out.strip()
    node.client.cookies.clear()
    assert node.client.get("/api/v1/me", headers=token).status_code == 401
    assert sign_in(node, name).status_code == 401
    assert sign_in(node, name, password).headers["location"] == "/sign-in/code"
    admin_commands.totp_reset("central", name)
    assert sign_in(node, name, password).headers["location"] == "/"
    assert {event.actor for event in events(node, "totp.remove", name)} == {"operator"}
    with pytest.raises(NotFound):
        admin_commands.totp_reset("central", "nobody-of-that-name")


def test_a_door_key_that_is_open_to_others_or_damaged_is_refused(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, role="central", data_dir=tmp_path / "data", keys_dir=tmp_path / "keys")  # type: ignore[call-arg]
    sealed = open_door_key(settings).seal("totp", "ana", b"secret")
    assert open_door_key(settings).open("totp", "ana", sealed) == b"secret"
    for purpose, owner, value in (
        ("oidc", "ana", sealed),
        ("totp", "ben", sealed),
        ("totp", "ana", sealed[:-1]),
        ("totp", "ana", b""),
    ):
        with pytest.raises(Refused):
            open_door_key(settings).open(purpose, owner, value)
    key = settings.keys / FILE
    key.chmod(0o640)
    with pytest.raises(BadConfiguration, match="chmod 0600"):
        open_door_key(settings)
    key.chmod(0o600)
    key.write_bytes(b"short")
    with pytest.raises(BadConfiguration, match="damaged"):
        open_door_key(settings)
