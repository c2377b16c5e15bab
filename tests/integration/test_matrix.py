"""Role x route: every call of every kind of sender against real nodes, judged by the table of rights."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import pytest
from httpx2 import Response
from sqlmodel import col, select

from api.deps import SAFE_METHODS
from core.clock import now_utc
from core.db import transaction
from core.errors import NotAuthenticated
from core.models.people import ApiToken, Role, User
from core.models.sitecase import CaseState, SiteCase
from core.permissions import ROLES, SYSTEM, Verb, rights_of
from core.security import session_cookie_name
from core.services import accounts
from tests.postgres_fixture import ScratchPostgres
from tests.route_table import ROUTES, STEPS, Open, Page, Table
from tests.served import EVERY_SCOPE, SITE, Served, serve

EVERYONE = [(role, "*") for role in Role]
NOT_SIGNED_IN = ("anonymous", "nonsense", "expired", "revoked", "disabled")
VALUES = {
    "site": SITE,
    "frame": "1",
    "frames": "1",
    "name": "liver",
    "version": "1",
    "sha256": "0" * 64,
    "day": "2026-01-01",
    "study": "2.25.1",
    "series": "2.25.2",
    "instance": "2.25.3",
    "path:path": "7FE00010",
}


@dataclass
class Cast:
    """A node, a token of every kind of sender, and one case in a state that no step can change."""

    served: Served
    tokens: dict[str, str]
    cookie: dict[str, str]
    sessions: dict[Role, str]
    case_id: str

    def ask(self, route: str, token: str | None = None, **changes: str) -> Response:
        """One call with well-formed names of things; what is not there is 404 for those who may ask."""
        method, path = route.split(" ")
        for name in {part[1:-1] for part in path.split("/") if part.startswith("{")}:
            value = self.case_id if name == "case_id" else VALUES.get(name, str(uuid4()))
            path = path.replace(f"{{{name}}}", changes.get(name, value))
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        params = {"site": SITE} if path.endswith("/messages") else {"offset": "0"} if path.endswith("/content") else {}
        body = {"reason": "wrong-patient"} if "step" in changes else None
        return self.served.client.request(method, path, headers=headers, params=params, json=body)


def make_cast(served: Served) -> Cast:
    tokens = {"nonsense": "x" * 43}
    with transaction(served.node.engine, "test.cast") as session:

        def person(name: str, grants: list[tuple[Role, str]], scopes: list[str]) -> User:
            user = accounts.create_user(session, SYSTEM, name, None, grants, SITE)
            _, tokens[name] = accounts.create_token(session, user, "test", scopes, timedelta(hours=1), SYSTEM)
            return user

        sessions = {
            role: accounts.open_session(session, person(role.value, [(role, "*")], EVERY_SCOPE)) for role in Role
        }
        for verb in Verb:
            person(f"only {verb}", EVERYONE, [verb.value])
            person(f"all but {verb}", EVERYONE, [scope for scope in EVERY_SCOPE if scope != verb])
        late, gone = person("expired", EVERYONE, EVERY_SCOPE), person("revoked", EVERYONE, EVERY_SCOPE)
        accounts.disable_user(session, SYSTEM, person("disabled", EVERYONE, EVERY_SCOPE).id)
        everybody = person("everybody", EVERYONE, EVERY_SCOPE)
        session.flush()
        for user, column in ((late, "expires_at"), (gone, "revoked_at")):
            row = session.exec(select(ApiToken).where(ApiToken.user_id == user.id)).one()
            setattr(row, column, now_utc() - timedelta(seconds=1))
        cookie = {session_cookie_name(served.settings): accounts.open_session(session, everybody)}
        case = SiteCase(domain="liver", state=CaseState.WITHDRAWN, route="rest", flagged_by=everybody.id)
        session.add(case)
    return Cast(served, tokens, cookie, sessions, str(case.id))


@pytest.fixture(scope="module", params=ROUTES)
def cast(request: pytest.FixtureRequest, postgres: ScratchPostgres) -> Iterator[Cast]:
    with serve(postgres, request.param) as served:
        yield make_cast(served)


@pytest.fixture
def table(cast: Cast) -> Table:
    return ROUTES[cast.served.settings.role]


def guarded(table: Table) -> list[tuple[str, Verb]]:
    return [(route, need) for route, need in table.items() if isinstance(need, Verb)]


def once(table: Table) -> list[tuple[str, Verb]]:
    """Without HEAD, which is answered by the function of GET; other tests call it."""
    return [(route, need) for route, need in guarded(table) if not route.startswith("HEAD")]


def with_rule(table: Table, *rules: Open) -> list[str]:
    return [route for route, need in table.items() if need in rules and not route.startswith("MOUNT")]


def pages(table: Table) -> list[tuple[str, Page]]:
    return [(route, need) for route, need in table.items() if isinstance(need, Page)]


@contextmanager
def browser(cast: Cast, role: Role) -> Iterator[None]:
    """Within it the client is the browser of somebody with this role."""
    client = cast.served.client
    client.cookies.update({session_cookie_name(cast.served.settings): cast.sessions[role]})
    client.headers["Sec-Fetch-Site"] = "same-origin"
    try:
        yield
    finally:
        client.cookies.clear()
        del client.headers["Sec-Fetch-Site"]


def holders(verb: Verb) -> set[str]:
    return {role.value for role in ROLES[verb]}


def judge(found: list[tuple[str, str, int, bool]]) -> None:
    """(route, sender, status, whether allowed): 401 and 403 are for those who may not, and for nobody else."""
    wrong = [line for line in found if (line[2] in {401, 403}) == line[3] or line[2] >= 500]
    assert not wrong, "\n".join(["route, sender, status, may:", *map(str, wrong)])


def test_each_role_may_what_the_table_says(cast: Cast, table: Table) -> None:
    judge(
        [
            (route, role.value, cast.ask(route, cast.tokens[role.value]).status_code, role.value in holders(need))
            for route, need in once(table)
            for role in Role
        ]
    )


def test_whoever_may_not_is_told_403_and_no_more(cast: Cast, table: Table) -> None:
    for route, need in guarded(table):
        answer = cast.ask(route, cast.tokens[f"all but {need}"])
        assert answer.status_code == 403, route
        if not route.startswith("HEAD"):
            assert answer.json()["detail"] == "You may not do this."


def test_a_token_opens_the_doors_of_its_scope_and_no_other(cast: Cast, table: Table) -> None:
    judge(
        [
            (route, f"only {verb}", cast.ask(route, cast.tokens[f"only {verb}"]).status_code, verb == need)
            for route, need in once(table)
            for verb in {need, Verb.SEE_CASES, Verb.PEOPLE}
        ]
    )


@pytest.mark.parametrize("sender", NOT_SIGNED_IN)
def test_whoever_is_not_signed_in_gets_401(cast: Cast, table: Table, sender: str) -> None:
    called = guarded(table) if sender == "anonymous" else once(table)
    for route in [*(route for route, _ in called), *with_rule(table, Open.SIGNED_IN)]:
        answer = cast.ask(route, cast.tokens.get(sender))
        assert answer.status_code == NotAuthenticated.status, route
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_browser_session_is_enough_for_safe_methods_only(cast: Cast, table: Table) -> None:
    client = cast.served.client
    client.cookies.update(cast.cookie)
    client.headers["Sec-Fetch-Site"] = "same-origin"
    try:
        found = [
            (route, "session", cast.ask(route).status_code, route.split(" ")[0] in SAFE_METHODS)
            for route in [*(route for route, _ in guarded(table)), *with_rule(table, Open.SIGNED_IN)]
        ]
        own_pages = [route for route in with_rule(table, Open.PAGE) if route.startswith("GET")]
        assert {cast.ask(route).status_code for route in own_pages} <= {200}
    finally:
        client.cookies.clear()
        del client.headers["Sec-Fetch-Site"]
    judge(found)
    assert {status for route, _, status, _ in found if route.split(" ")[0] not in SAFE_METHODS} <= {401}


def test_anybody_may_ask_what_is_public(cast: Cast, table: Table) -> None:
    found = [(route, "anonymous", cast.ask(route).status_code, True) for route in with_rule(table, Open.PUBLIC)]
    judge(found)


def test_any_valid_token_is_somebody(cast: Cast, table: Table) -> None:
    judge(
        [
            (route, role.value, cast.ask(route, cast.tokens[role.value]).status_code, True)
            for route in with_rule(table, Open.SIGNED_IN)
            for role in Role
        ]
    )


def test_each_role_may_open_the_pages_that_the_table_says(cast: Cast, table: Table) -> None:
    found = []
    for role in Role:
        with browser(cast, role):
            for route, need in pages(table):
                is_allowed = any(role.value in holders(verb) for verb in need.verbs)
                found.append((route, role.value, cast.ask(route).status_code, is_allowed))
    judge(found)


def test_pages_lead_to_the_sign_in(cast: Cast, table: Table) -> None:
    for route in [*with_rule(table, Open.PAGE), *(route for route, _ in pages(table))]:
        for token in (None, cast.tokens["everybody"]):  # a bearer token is for machines
            answer = cast.ask(route, token)
            assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/sign-in")


def test_metrics_are_for_auditors_and_this_machine(cast: Cast, table: Table) -> None:
    for route in with_rule(table, Open.METRICS):
        assert cast.ask(route).status_code == 404
        assert {role for role in Role if cast.ask(route, cast.tokens[role]).status_code == 200} == ROLES[Verb.AUDIT]
        assert {role for role in Role if cast.ask(route, cast.tokens[role]).status_code == 404} == (
            set(Role) - ROLES[Verb.AUDIT]
        )
        assert cast.ask(route, cast.tokens["expired"]).status_code == 401


def test_each_step_of_a_case_asks_for_its_own_right(cast: Cast, table: Table) -> None:
    route = "POST /api/v1/cases/{case_id}/{step}"
    if route not in table:
        return
    found = []
    for step, verb in STEPS.items():
        for role in Role:
            may = {known for known, _ in rights_of([(role, "*")])}
            status = cast.ask(route, cast.tokens[role.value], step=step).status_code
            found.append((step, role.value, status, {Verb.SEE_CASES, verb} <= may))
    judge(found)
    assert {status for _, _, status, may in found if may} == {409}  # nothing leads out of WITHDRAWN


def test_nothing_of_all_this_changed_the_case_or_the_people(cast: Cast) -> None:
    """Last in this file on purpose: thousands of calls, and nobody could do what they may not."""
    with transaction(cast.served.node.engine, "test.after") as session:
        case = session.exec(select(SiteCase)).one()
        assert (case.state, case.purged_at) == (CaseState.WITHDRAWN, None)
        assert (
            session.exec(select(User).where(User.name == "disabled", col(User.disabled_at).is_(None))).first() is None
        )
