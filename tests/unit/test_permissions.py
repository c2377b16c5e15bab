"""Who may do what: the table of verbs and roles is whole, and rights are only ever narrowed."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Denied
from core.models.people import Role
from core.permissions import ALL_DOMAINS, ROLES, SYSTEM, Actor, Verb, check, rights_of

DOMAINS = st.sampled_from(["*", "liver", "breast", "heart"])
GRANTS = st.lists(st.tuples(st.sampled_from(Role), DOMAINS), max_size=8)
SCOPES = st.none() | st.lists(st.sampled_from([*(verb.value for verb in Verb), "nonsense"]), max_size=20)
HOSPITAL = {Role.EXAM, Role.CUR, Role.REG, Role.SITEPI, Role.LINK, Role.SITEIT, Role.XFER, Role.PTDESK}
OUTSIDE = {Role.DOM, Role.CENOP, Role.DAC, Role.CLDOP, Role.AIDEV, Role.VEND}


def test_every_verb_has_somebody() -> None:
    assert set(ROLES) == set(Verb)
    assert all(ROLES.values())


def test_roles_without_a_verb_are_known() -> None:
    """They wait for their parts: the custodian of the linkage, the committee."""
    used = {role for roles in ROLES.values() for role in roles}
    assert set(Role) - used == {Role.LINK, Role.DAC}


def test_nobody_outside_the_hospital_sees_its_cases() -> None:
    named = {Verb.SEE_CASES, Verb.SEE_PIXELS, Verb.FLAG, Verb.CURATE, Verb.REGISTER, Verb.RETRIEVE, Verb.OPT_OUT}
    for verb in named:
        assert ROLES[verb] <= HOSPITAL
        assert not ROLES[verb] & OUTSIDE
    assert ROLES[Verb.SEE_PIXELS] == {Role.CUR, Role.REG}


def test_people_who_manage_people_see_nothing_else() -> None:
    assert {verb for verb, roles in ROLES.items() if Role.ADMIN in roles} == {Verb.PEOPLE}
    assert {verb for verb, roles in ROLES.items() if Role.AUD in roles} == {Verb.AUDIT}
    assert {verb for verb, roles in ROLES.items() if Role.MACHINE in roles} == {Verb.DELIVER}
    assert {verb for verb, roles in ROLES.items() if Role.AIDEV in roles} == {
        Verb.PULL, Verb.INFER, Verb.OFFER_MODEL, Verb.TRAIN,
    }  # fmt: skip
    assert {verb for verb, roles in ROLES.items() if Role.VEND in roles} == {Verb.INFER}


def test_scopes_are_plain_words() -> None:
    assert len({verb.value for verb in Verb}) == len(Verb)
    assert all(verb.value.replace("-", "").replace(":", "").isalpha() for verb in Verb)


@given(GRANTS, SCOPES)
def test_a_token_only_narrows(grants: list[tuple[Role, str]], scopes: list[str] | None) -> None:
    whole, narrow = dict(rights_of(grants)), dict(rights_of(grants, scopes))
    assert set(narrow) == {verb for verb in whole if scopes is None or verb.value in scopes}
    assert all(whole[verb] == domains for verb, domains in narrow.items())


@given(GRANTS, GRANTS)
def test_grants_add_up(some: list[tuple[Role, str]], more: list[tuple[Role, str]]) -> None:
    both = dict(rights_of([*some, *more]))
    for verb in Verb:
        apart = dict(rights_of(some)).get(verb, frozenset()) | dict(rights_of(more)).get(verb, frozenset())
        assert both.get(verb, frozenset()) == apart


@given(GRANTS, st.sampled_from(Verb), st.sampled_from(["liver", "breast", "heart", "kidney"]))
def test_check_says_what_the_grants_say(grants: list[tuple[Role, str]], verb: Verb, domain: str) -> None:
    actor = Actor("sato", uuid4(), rights_of(grants))
    held = any(role in ROLES[verb] and given in {ALL_DOMAINS, domain} for role, given in grants)
    assert actor.may(verb, domain) == held
    assert actor.may(verb) == any(role in ROLES[verb] for role, _ in grants)
    if held:
        check(actor, verb, domain)
    else:
        with pytest.raises(Denied):
            check(actor, verb, domain)


def test_the_system_itself_holds_no_right() -> None:
    assert not any(SYSTEM.may(verb) for verb in Verb)


def test_a_domain_is_not_a_pattern() -> None:
    actor = Actor("sato", uuid4(), rights_of([(Role.CUR, "liver")]))
    assert not actor.may(Verb.CURATE, "liver2")
    assert not actor.may(Verb.CURATE, "*")
    assert not actor.may(Verb.CURATE, "")
