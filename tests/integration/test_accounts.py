"""Log-in, tokens, sessions and rights of people on a real node."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from httpx2 import Response
from sqlmodel import select

from core.clock import now_utc
from core.db import transaction
from core.errors import Conflict, Malformed
from core.models.audit import AuditEvent
from core.models.people import ApiToken, Grant, Role, User, WebSession
from core.permissions import SYSTEM, Verb
from core.security import LoginThrottle, secret_hash, session_cookie_name
from core.services import accounts
from tests.postgres_fixture import ScratchPostgres
from tests.served import EVERY_SCOPE, Served, serve

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def node(postgres: ScratchPostgres) -> Iterator[Served]:
    with serve(postgres, "pacs") as served:
        served.person("sato", [(Role.SITEIT, "*"), (Role.AUD, "*")], password=PASSWORD)
        served.person("gone", [(Role.SITEIT, "*")], password=PASSWORD)
        served.person("machine", [(Role.MACHINE, "*")], site="KYOTO01")
        served.person("admin", [(Role.ADMIN, "*")])
        with transaction(served.node.engine, "test.gone") as session:
            accounts.disable_user(session, SYSTEM, served.people["gone"].id)
        yield served


@pytest.fixture(autouse=True)
def patience(node: Served) -> None:
    """Each test begins with a throttle that has seen nobody."""
    node.app.state.throttle = LoginThrottle()


def log_in(node: Served, name: str, password: str = PASSWORD) -> Response:
    return node.client.post("/api/v1/login", json={"name": name, "password": password})


def me(node: Served, secret: str) -> Response:
    return node.client.get("/api/v1/me", headers={"Authorization": f"Bearer {secret}"})


def change(node: Served, secret: str, **columns: object) -> None:
    with transaction(node.node.engine, "test.change") as session:
        row = session.exec(select(ApiToken).where(ApiToken.token_hash == secret_hash(secret))).one()
        for name, value in columns.items():
            setattr(row, name, value)


class TestLogIn:
    def test_the_right_password_gives_a_token_for_a_working_day(self, node: Served) -> None:
        answer = log_in(node, "sato")
        assert answer.status_code == 201
        assert answer.json()["scopes"] == sorted(me(node, answer.json()["token"]).json()["scopes"])
        with transaction(node.node.engine, "test.token") as session:
            token = session.get_one(ApiToken, UUID(answer.json()["id"]))
            assert timedelta(hours=11) < token.expires_at - now_utc() <= timedelta(hours=12)
            assert token.token_hash == secret_hash(answer.json()["token"]) != answer.json()["token"]
            events = session.exec(select(AuditEvent).where(AuditEvent.verb == "log-in")).all()
            assert {event.actor for event in events} == {"sato"}

    def test_every_way_to_be_wrong_has_one_answer(self, node: Served) -> None:
        answers = [
            log_in(node, "sato", "a wrong password"),
            log_in(node, "nobody-of-that-name"),
            log_in(node, "gone"),  # disabled
            log_in(node, "machine"),  # has no password
            log_in(node, "admin", "-"),
            log_in(node, "SATO"),
            log_in(node, "sato", PASSWORD + " "),
        ]
        assert {answer.status_code for answer in answers} == {401}
        assert len({answer.content for answer in answers}) == 1
        assert "wrong" in answers[0].json()["detail"]

    def test_what_no_database_can_hold_is_refused_politely(self, node: Served) -> None:
        assert log_in(node, "sa\0to").status_code == 422
        assert log_in(node, "sato", "\0").status_code == 401
        assert log_in(node, "\ud7ff山田").status_code == 401
        assert log_in(node, "x" * 65).status_code == 422
        assert log_in(node, "sato", "x" * 201).status_code == 422

    def test_ten_tries_a_minute_for_one_account_from_one_address(self, node: Served) -> None:
        tries = [log_in(node, "Nobody" if n % 2 else "nobody").status_code for n in range(12)]
        assert tries == [401] * 10 + [429] * 2  # the case of letters gains nothing
        assert log_in(node, "sato").status_code == 201  # a hospital shares one address

    def test_the_throttle_counts_before_the_password_is_looked_at(self, node: Served) -> None:
        for _ in range(10):
            log_in(node, "sato", "a wrong password")
        refused = log_in(node, "sato")
        assert (refused.status_code, "token" in refused.json()) == (429, False)

    def test_another_address_has_tries_of_its_own(self) -> None:
        throttle = LoginThrottle()
        for _ in range(10):
            throttle.check("sato", "192.0.2.1")
        throttle.check("sato", "192.0.2.2")
        throttle.check("ito", "192.0.2.1")

    def test_a_password_is_stored_as_argon2id_only(self, node: Served) -> None:
        with transaction(node.node.engine, "test.hash") as session:
            stored = session.exec(select(User).where(User.name == "sato")).one().password_hash or ""
        assert stored.startswith("$argon2id$") and PASSWORD not in stored


class TestTokens:
    def test_a_token_never_allows_more_than_its_owner(self, node: Served) -> None:
        secret = node.token("admin", EVERY_SCOPE)
        assert me(node, secret).json()["scopes"] == {"people": ["*"]}

    def test_a_token_is_narrowed_to_its_scopes(self, node: Served) -> None:
        secret = node.token("sato", ["audit:read", "people"])
        assert me(node, secret).json() == {"name": "sato", "scopes": {"audit:read": ["*"]}}

    def test_a_narrow_token_makes_no_wider_one(self, node: Served) -> None:
        head = node.bearer("sato", ["audit:read"])
        wish = {"label": "mine", "scopes": ["audit:read", "dicom:read", "people"], "days": 1}
        made = node.client.post("/api/v1/tokens", headers=head, json=wish)
        assert (made.status_code, made.json()["scopes"]) == (201, ["audit:read"])
        assert me(node, made.json()["token"]).json()["scopes"] == {"audit:read": ["*"]}
        wish["scopes"] = ["dicom:read"]
        assert node.client.post("/api/v1/tokens", headers=head, json=wish).status_code == 422

    @pytest.mark.parametrize(
        "wish",
        [
            {"label": "x", "scopes": ["everything"], "days": 1},
            {"label": "x", "scopes": [], "days": 1},
            {"label": "", "scopes": ["audit:read"], "days": 1},
            {"label": "x", "scopes": ["audit:read"], "days": 0},
            {"label": "x", "scopes": ["audit:read"], "days": -1},
            {"label": "x", "scopes": ["audit:read"], "days": 367},
            {"label": "x", "scopes": ["audit:read"], "days": 1e-12},
        ],
    )
    def test_a_token_that_makes_no_sense_is_refused(self, node: Served, wish: dict[str, object]) -> None:
        assert node.client.post("/api/v1/tokens", headers=node.bearer("sato"), json=wish).status_code == 422

    def test_a_token_ends_when_its_time_is_over(self, node: Served) -> None:
        secret = node.token("sato")
        assert me(node, secret).status_code == 200
        change(node, secret, expires_at=now_utc() - timedelta(milliseconds=1))
        assert me(node, secret).status_code == 401
        listed = node.client.get("/api/v1/tokens", headers=node.bearer("sato")).json()
        with transaction(node.node.engine, "test.row") as session:
            row = session.exec(select(ApiToken).where(ApiToken.token_hash == secret_hash(secret))).one()
        assert str(row.id) not in {token["id"] for token in listed}

    def test_a_revoked_token_ends_at_once(self, node: Served) -> None:
        head = node.bearer("sato")
        made = node.client.post(
            "/api/v1/tokens", headers=head, json={"label": "t", "scopes": ["audit:read"], "days": 1}
        ).json()
        assert me(node, made["token"]).status_code == 200
        for _ in range(2):  # again changes nothing
            assert node.client.delete(f"/api/v1/tokens/{made['id']}", headers=head).status_code == 204
        assert me(node, made["token"]).status_code == 401
        listed = node.client.get("/api/v1/tokens", headers=head).json()
        assert made["id"] not in {token["id"] for token in listed}
        assert all(token["token"] is None for token in listed)

    @pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic c2F0bzp4", "bearer x y", "Token abc"])
    def test_other_headers_are_nobody(self, node: Served, header: str) -> None:
        assert node.client.get("/api/v1/me", headers={"Authorization": header}).status_code == 401

    def test_the_scheme_is_known_in_any_case(self, node: Served) -> None:
        head = {"Authorization": f"bEARER  {node.token('sato')}"}
        assert node.client.get("/api/v1/me", headers=head).status_code == 200

    def test_a_hash_is_no_token(self, node: Served) -> None:
        assert me(node, secret_hash(node.token("sato"))).status_code == 401

    def test_every_token_is_in_the_audit(self, node: Served) -> None:
        secret = node.token("sato", ["audit:read"])
        with transaction(node.node.engine, "test.audit") as session:
            row = session.exec(select(ApiToken).where(ApiToken.token_hash == secret_hash(secret))).one()
            event = session.exec(select(AuditEvent).where(AuditEvent.subject == str(row.id))).one()
        assert (event.verb, event.detail) == ("token.create", {"scopes": ["audit:read"]})


class TestSessions:
    def ask(self, node: Served, secret: str) -> int:
        name = session_cookie_name(node.settings)
        return node.client.get("/api/v1/me", headers={"Cookie": f"{name}={secret}"}).status_code

    def rewind(self, node: Served, secret: str, **columns: timedelta) -> None:
        with transaction(node.node.engine, "test.rewind") as session:
            row = session.exec(select(WebSession).where(WebSession.secret_hash == secret_hash(secret))).one()
            for name, ago in columns.items():
                setattr(row, name, now_utc() - ago)

    def test_a_session_lives_while_it_is_used(self, node: Served) -> None:
        secret = node.cookie("sato")
        assert self.ask(node, secret) == 200
        self.rewind(node, secret, seen_at=timedelta(minutes=14))
        assert self.ask(node, secret) == 200
        with transaction(node.node.engine, "test.seen") as session:
            row = session.exec(select(WebSession).where(WebSession.secret_hash == secret_hash(secret))).one()
            assert now_utc() - row.seen_at < timedelta(minutes=1)

    def test_fifteen_idle_minutes_end_it(self, node: Served) -> None:
        secret = node.cookie("sato")
        self.rewind(node, secret, seen_at=timedelta(minutes=15, seconds=1))
        assert self.ask(node, secret) == 401

    def test_twelve_hours_end_it(self, node: Served) -> None:
        secret = node.cookie("sato")
        self.rewind(node, secret, expires_at=timedelta(seconds=1))
        assert self.ask(node, secret) == 401

    def test_it_is_no_token_and_a_token_is_no_session(self, node: Served) -> None:
        assert me(node, node.cookie("sato")).status_code == 401
        assert self.ask(node, node.token("sato")) == 401

    def test_a_bad_token_is_not_saved_by_a_good_session(self, node: Served) -> None:
        head = {
            "Authorization": "Bearer nonsense",
            "Cookie": f"{session_cookie_name(node.settings)}={node.cookie('sato')}",
        }
        assert node.client.get("/api/v1/me", headers=head).status_code == 401


class TestPeople:
    def test_a_disabled_account_loses_tokens_and_sessions_at_once(self, node: Served) -> None:
        admin = node.bearer("admin")
        wish = {"name": "ito", "password": PASSWORD, "grants": [{"role": "AUD"}, {"role": "AUD", "domain": "liver"}]}
        made = node.client.post("/api/v1/users", headers=admin, json=wish)
        assert made.status_code == 201
        assert PASSWORD not in made.text
        user = made.json()["id"]
        with transaction(node.node.engine, "test.ito") as session:
            node.people["ito"] = session.get_one(User, UUID(user))
        secret, cookie = log_in(node, "ito").json()["token"], node.cookie("ito")
        assert me(node, secret).json()["scopes"] == {"audit:read": ["*", "liver"]}
        done = node.client.post(f"/api/v1/users/{user}/disable", headers=admin).json()
        assert done["disabled"] and len(done["grants"]) == 2
        assert me(node, secret).status_code == 401
        assert TestSessions().ask(node, cookie) == 401
        assert log_in(node, "ito").status_code == 401
        assert node.client.post("/api/v1/users", headers=admin, json=wish).status_code == 409

    def test_a_right_that_is_taken_is_gone_from_old_tokens(self, node: Served) -> None:
        node.person("kato", [(Role.AUD, "*")])
        secret = node.token("kato")
        with transaction(node.node.engine, "test.kato") as session:
            session.delete(session.exec(select(Grant).where(Grant.user_id == node.people["kato"].id)).one())
        assert me(node, secret).json()["scopes"] == {}

    def test_an_unknown_account_is_404(self, node: Served) -> None:
        assert node.client.post(f"/api/v1/users/{uuid4()}/disable", headers=node.bearer("admin")).status_code == 404

    @pytest.mark.parametrize(
        "wish",
        [
            {"name": "short", "password": "elevenchars", "grants": []},
            {"name": "bad name", "password": PASSWORD, "grants": []},
            {"name": "boss", "password": PASSWORD, "grants": [{"role": "KING"}]},
            {"name": "organ", "password": PASSWORD, "grants": [{"role": "CUR", "domain": "Liver!"}]},
            {"name": "robot", "password": PASSWORD, "grants": [{"role": "MACHINE"}]},
        ],
    )
    def test_a_person_who_makes_no_sense_is_refused(self, node: Served, wish: dict[str, object]) -> None:
        answer = node.client.post("/api/v1/users", headers=node.bearer("admin"), json=wish)
        assert answer.status_code == 422
        assert PASSWORD not in answer.text and "elevenchars" not in answer.text

    def test_the_list_says_who_may_what_and_no_secret(self, node: Served) -> None:
        listed = node.client.get("/api/v1/users", headers=node.bearer("admin"))
        assert {user["name"]: user["disabled"] for user in listed.json()}.items() >= {
            ("sato", False),
            ("gone", True),
            ("machine", False),
        }
        assert "argon2" not in listed.text

    def test_rules_hold_below_the_door_too(self, node: Served) -> None:
        with pytest.raises(Conflict), transaction(node.node.engine, "test.twice") as session:
            accounts.create_user(session, SYSTEM, "sato", None, [])
        with pytest.raises(Malformed), transaction(node.node.engine, "test.machine") as session:
            accounts.create_user(session, SYSTEM, "robot", None, [(Role.MACHINE, "*")])
        with pytest.raises(Malformed), transaction(node.node.engine, "test.long") as session:
            accounts.create_token(session, node.people["sato"], "t", [Verb.AUDIT], timedelta(days=367), SYSTEM)

    def test_two_of_one_name_at_once_are_a_conflict(self, node: Served) -> None:
        """The look-up found nobody in either transaction; the second to write is told so in words."""
        engine = node.node.engine
        with transaction(engine, "test.first") as first:
            accounts.create_user(first, SYSTEM, "twin", None, [])
            first.commit()
            with pytest.raises(Conflict, match="Someone else"), transaction(engine, "test.second") as second:
                second.add(User(name="twin"))


def test_domains_of_roles_add_up(node: Served) -> None:
    node.person("lead", [(Role.DOM, "liver"), (Role.DOM, "breast"), (Role.CENOP, "heart"), (Role.CLDOP, "*")])
    scopes = me(node, node.token("lead")).json()["scopes"]
    assert scopes["datasets:freeze"] == ["breast", "liver"]
    assert scopes["dicom:read"] == ["breast", "heart", "liver"]
    assert "*" in scopes["bank:read"]


@pytest.mark.parametrize("public_url", [None, "https://pacs.hospital.example"])
def test_the_cookie_is_bound_to_this_host(postgres: ScratchPostgres, public_url: str | None) -> None:
    with serve(postgres, "pacs", public_url=public_url) as served:
        served.person("sato", [(Role.SITEIT, "*")], password=PASSWORD)
        form = {"name": "sato", "password": PASSWORD}
        answer = served.client.post("/sign-in", data=form, headers={"Sec-Fetch-Site": "same-origin"})
        assert answer.status_code == 303
        cookie = answer.headers["set-cookie"].lower()
        assert {"httponly", "samesite=lax", "path=/"} <= {part.strip() for part in cookie.split(";")}
        assert "domain=" not in cookie and "max-age" not in cookie and "expires" not in cookie
        assert cookie.startswith("__host-sonobank=" if public_url else f"sonobank-{served.settings.listen_port}=")
        assert ("secure" in cookie) == bool(public_url)
