"""Passwords, secrets, the throttle and the cookie's name."""

import pytest

from core.errors import Malformed, TooMany
from core.security import (
    MINIMUM_PASSWORD,
    LoginThrottle,
    hash_password,
    new_secret,
    password_matches,
    secret_hash,
    session_cookie_name,
)
from core.settings import Settings

PASSWORD = "correct horse battery"


def test_a_password_is_known_by_its_hash_only() -> None:
    first, second = hash_password(PASSWORD), hash_password(PASSWORD)
    assert first != second and PASSWORD not in first
    assert first.startswith("$argon2id$")
    assert password_matches(PASSWORD, first) and password_matches(PASSWORD, second)
    assert not password_matches(PASSWORD.upper(), first)
    assert not password_matches("", first)


def test_an_unknown_person_has_no_password_that_fits() -> None:
    assert not password_matches(PASSWORD, None)
    assert not password_matches("", None)


@pytest.mark.parametrize("password", ["", "x" * (MINIMUM_PASSWORD - 1)])
def test_a_short_password_is_refused_without_repeating_it(password: str) -> None:
    with pytest.raises(Malformed, match="at least 12") as refusal:
        hash_password(password)
    assert not password or password not in refusal.value.message


def test_secrets_are_long_random_and_stored_as_hashes() -> None:
    made = [new_secret() for _ in range(100)]
    assert len({secret for secret, _ in made}) == 100
    for secret, hashed in made:
        assert len(secret) == 43 and hashed == secret_hash(secret) and secret not in hashed
        assert len(hashed) == 64


def test_the_throttle_lets_ten_by() -> None:
    throttle = LoginThrottle()
    for _ in range(10):
        throttle.check("Sato", "192.0.2.1")
    for name in ("sato", "SATO"):
        with pytest.raises(TooMany) as refusal:
            throttle.check(name, "192.0.2.1")
        assert "sato" not in refusal.value.message.casefold()
    throttle.check("sato", "192.0.2.2")
    throttle.check("ito", "192.0.2.1")


def test_a_long_name_is_counted_as_what_the_database_would_look_up() -> None:
    throttle = LoginThrottle()
    for number in range(10):
        throttle.check("x" * 64 + str(number), "192.0.2.1")
    with pytest.raises(TooMany):
        throttle.check("x" * 64, "192.0.2.1")


@pytest.mark.parametrize(
    ("public_url", "name"),
    [
        ("https://sonobank.hospital.example", "__Host-sonobank"),
        ("http://127.0.0.1:9000", "sonobank-8020"),
        (None, "sonobank-8020"),
    ],
)
def test_the_cookie_has_its_prefix_where_there_is_tls(public_url: str | None, name: str) -> None:
    settings = Settings(role="central", public_url=public_url, _env_file=None)
    assert session_cookie_name(settings) == name
