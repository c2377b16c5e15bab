"""A node that is set wrong refuses to start and says the fix; a secret is never repeated."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from core.errors import BadConfiguration
from core.settings import OTHER_VARIABLES, PORTS, Settings, load, read_secret

SECRET = "s3cret-of-the-operator"
URL = f"postgresql://bank:{SECRET}@db.example/bank"
Set = Callable[..., None]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of this machine: neither its environment nor a .env beside the tests."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.upper().startswith("SONOBANK_"):
            monkeypatch.delenv(name)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Set:
    def set_all(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"SONOBANK_{name.upper()}", value)

    return set_all


def refusal(role: str = "central") -> str:
    with pytest.raises(BadConfiguration) as raised:
        load(role=role)
    assert SECRET not in raised.value.message
    assert raised.value.__context__ is None or raised.value.__suppress_context__
    return raised.value.message


def test_a_node_needs_little() -> None:
    settings = load(role="central")
    assert (settings.listen_port, settings.base_url) == (8020, "http://127.0.0.1:8020")
    assert settings.data_dir.is_absolute()
    assert settings.peers == ()
    assert settings.url_of_store() == f"file://{settings.data_dir / 'store'}"
    assert {load(role=role, site_code="KYOTO01").listen_port for role in PORTS} == set(PORTS.values())


def test_the_environment_wins_over_the_file(given: Set, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SONOBANK_PORT=9001\nSONOBANK_PURGE_DAYS=7\n")
    given(port="9002")
    settings = load(role="central")
    assert (settings.port, settings.purge_days) == (9002, 7)


WRONG = [
    ("role", "hospital", "SONOBANK_ROLE"),
    ("port", "70000", "65535"),
    ("port", "eighty", "integer"),
    ("site_code", "kyoto", "SONOBANK_SITE_CODE"),
    ("time_zone", "Kyoto", "Asia/Tokyo"),
    ("time_zone", "../../etc/passwd", "Asia/Tokyo"),
    ("log_level", "LOUD", "WARNING"),
    ("database_url", f"mysql://bank:{SECRET}@db.example/bank", "postgresql://"),
    ("database_url", SECRET, "postgresql://"),
    ("database_url", f"postgresql://bank:{SECRET}@db.example:port/bank", "SONOBANK_DATABASE_URL"),
    ("vault_database_url", f"{SECRET}://db", "postgresql://"),
    ("store_url", f"http://{SECRET}", "s3://"),
    ("replica_url", f"/srv/{SECRET}", "file://"),
    ("public_url", "sonobank.example", "https://"),
    ("relay_url", "ftp://relay.example", "https://"),
    ("tls_cert_file", "/etc/sonobank/tls.pem", "SONOBANK_TLS_KEY_FILE"),
    ("central_url", "https://", "https://"),
    ("domains", "liver,breast", "JSON"),
    ("domains", "[]", '["liver","breast"]'),
    ("domains", '["Liver"]', '["liver","breast"]'),
    ("windows", "22:00-06:00", "JSON"),
    ("windows", '[{"begin": "22:00"}]', "SONOBANK_WINDOWS"),
    ("windows", '[{"begin": "22:00", "end": "25:00"}]', "SONOBANK_WINDOWS"),
    ("windows", '[{"begin": "22:00", "end": "06:00", "days": [7]}]', "SONOBANK_WINDOWS"),
    ("windows", '[{"begin": "22:00+09:00", "end": "06:00"}]', "SONOBANK_TIME_ZONE"),
    ("windows", '[{"begin": "22:00", "end": "06:00", "dyas": [1]}]', "SONOBANK_WINDOWS"),
    ("retrieve_concurrency", "0", "SONOBANK_RETRIEVE_CONCURRENCY"),
    ("retrieve_per_second", "nan", "SONOBANK_RETRIEVE_PER_SECOND"),
    ("poll_seconds", "inf", "SONOBANK_POLL_SECONDS"),
    ("chart_id_width", "65", "SONOBANK_CHART_ID_WIDTH"),
    ("release_delay_seconds", "-1", "SONOBANK_RELEASE_DELAY_SECONDS"),
    ("purge_days", "-1", "SONOBANK_PURGE_DAYS"),
    ("ethics_until", "2031-02-30", "2031-03-31"),
    ("ethics_until", "31.3.2031", "SONOBANK_ETHICS_UNTIL"),
    ("decode_processes", "0", "SONOBANK_DECODE_PROCESSES"),
    ("decode_memory_mb", "12", "SONOBANK_DECODE_MEMORY_MB"),
    ("demo", "perhaps", "SONOBANK_DEMO"),
    ("totp", "perhaps", "required"),
    ("totp", "required", "SONOBANK_KEYS_DIR"),
    ("oidc_issuer", "login.example", "https://"),
    ("oidc_issuer", "https://login.example", "SONOBANK_OIDC_CLIENT_ID"),
    ("oidc_client_id", "sonobank", "SONOBANK_OIDC_ISSUER"),
    ("oidc_groups", "curators", "JSON"),
    ("oidc_groups", '{"a": ["CUR"]}', "SONOBANK_OIDC_GROUPS"),
    ("oidc_groups", '{"a": [["KING", "*"]]}', "SONOBANK_OIDC_GROUPS"),
    ("oidc_groups", '{"a": [["CUR", "Liver!"]]}', "SONOBANK_OIDC_GROUPS"),
    ("oidc_groups", '{"a": [["MACHINE", "*"]]}', "MACHINE"),
]


@pytest.mark.parametrize(("name", "value", "words"), WRONG)
def test_a_wrong_setting_is_named_with_its_fix(given: Set, name: str, value: str, words: str) -> None:
    given(**{name: value})
    message = refusal(value if name == "role" else "central")
    assert f"SONOBANK_{name.upper()}" in message or "SONOBANK_" in words
    assert words in message


def test_a_log_in_service_speaks_tls_unless_it_is_on_this_machine(given: Set) -> None:
    given(oidc_client_id="sonobank", keys_dir="keys", oidc_groups='{"a": [["CUR", "liver"], ["AUD", "*"]]}')
    for address, is_fine in (
        ("https://login.example", True),
        ("http://127.0.0.1:9000", True),
        ("http://login.example", False),
    ):
        given(oidc_issuer=address)
        assert ("https://" in refusal()) if not is_fine else load(role="central").oidc_issuer == address


def test_every_problem_is_told_at_once(given: Set) -> None:
    given(port="-1", purge_days="-1", poll_seconds="0")
    message = refusal()
    assert all(name in message for name in ("SONOBANK_PORT", "SONOBANK_PURGE_DAYS", "SONOBANK_POLL_SECONDS"))


def test_a_role_that_is_missing_is_asked_for() -> None:
    with pytest.raises(BadConfiguration, match="SONOBANK_ROLE"):
        load()


def test_a_site_needs_its_code() -> None:
    assert "SONOBANK_SITE_CODE" in refusal("site")


def test_a_site_with_a_database_needs_the_vaults_role(given: Set) -> None:
    given(site_code="KYOTO01", database_url=URL)
    assert "SONOBANK_VAULT_DATABASE_URL" in refusal("site")
    given(vault_database_url=URL)
    assert load(role="site").database_url == URL


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_a_demo_serves_this_machine_only(given: Set, host: str) -> None:
    given(demo="true", host=host)
    assert "SONOBANK_HOST" in refusal()
    given(host="127.0.0.1")
    assert load(role="central").demo


def test_unknown_variables_are_named(given: Set) -> None:
    given(prot="8000", databse_url=URL)
    message = refusal()
    assert "SONOBANK_DATABSE_URL, SONOBANK_PROT" in message and "docs/install.md" in message


def test_unknown_variables_of_the_file_are_named_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"SONOBANK_DATABSE_URL={URL}\nAWS_SECRET_ACCESS_KEY={SECRET}\n")
    message = refusal()
    assert "SONOBANK_DATABSE_URL" in message and "AWS" not in message


def test_variables_of_the_script_and_of_others_are_let_be(given: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    given(**dict.fromkeys(OTHER_VARIABLES, "x"))
    monkeypatch.setenv("SONOBAN_KING", "x")
    load(role="central")


def test_secrets_are_not_shown(given: Set) -> None:
    given(database_url=URL, vault_database_url=URL, store_url=f"s3://{SECRET}", replica_url=f"s3://b?key={SECRET}")
    settings = load(role="central")
    assert SECRET not in repr(settings) and SECRET not in str(settings)


def test_keys_are_asked_for_when_they_are_needed() -> None:
    with pytest.raises(BadConfiguration, match=r"SONOBANK_KEYS_DIR.*admin keys create"):
        _ = load(role="central").keys
    assert load(role="central", keys_dir="keys").keys == Path.cwd() / "keys"


def test_settings_do_not_change_while_a_node_runs() -> None:
    settings = load(role="central")
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(("url", "base"), [("https://a.example/", "https://a.example"), ("http://a/b//", "http://a/b")])
def test_the_address_has_no_slash_at_its_end(given: Set, url: str, base: str) -> None:
    given(public_url=url)
    assert load(role="central").base_url == base


class TestPeers:
    GOOD: ClassVar = {"name": "main", "url": "https://pacs.example/dicom-web/"}

    @pytest.fixture
    def peers(self, given: Set, tmp_path: Path) -> Callable[[object], Settings]:
        def write(content: object) -> Settings:
            path = tmp_path / "peers.json"
            path.write_text(content if isinstance(content, str) else json.dumps(content))
            given(peers_file=str(path), site_code="KYOTO01")
            return load(role="site")

        return write

    def test_a_peer_by_name_and_the_first_by_none(self, peers: Callable[[object], Settings]) -> None:
        settings = peers([self.GOOD, self.GOOD | {"name": "second", "timeout_seconds": 5}])
        assert settings.peer(None).url == "https://pacs.example/dicom-web"
        assert settings.peer("second").timeout_seconds == 5
        with pytest.raises(BadConfiguration, match="SONOBANK_PEERS_FILE"):
            settings.peer("third")

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("not json", "JSON"),
            ("", "JSON"),
            ("null", "JSON list"),
            ({"name": "main"}, "JSON list"),
            ([7], "0: "),
            ([{"name": "main"}], "0.url"),
            ([GOOD, {"name": "main two", "url": "https://b"}], "1.name"),
            ([GOOD | {"url": "pacs.example"}], "https://pacs.example"),
            ([GOOD | {"url": "ftp://pacs.example"}], "0.url"),
            ([GOOD | {"url": "https://"}], "0.url"),
            ([GOOD | {"url": "https://pacs.example:dicom"}], "0.url"),
            ([GOOD | {"password": SECRET}], "0.password"),
            ([GOOD | {"timeout_seconds": 0}], "0.timeout_seconds"),
            ([GOOD, GOOD], "twice"),
        ],
        ids=str,
    )
    def test_what_is_wrong_is_named(self, peers: Callable[[object], Settings], content: object, words: str) -> None:
        settings = peers(content)
        with pytest.raises(BadConfiguration) as raised:
            _ = settings.peers
        assert "SONOBANK_PEERS_FILE" in raised.value.message and words in raised.value.message
        assert SECRET not in raised.value.message

    def test_a_file_that_is_not_there(self, given: Set, tmp_path: Path) -> None:
        given(peers_file=str(tmp_path / "none.json"), site_code="KYOTO01")
        with pytest.raises(BadConfiguration, match="cannot be read"):
            _ = load(role="site").peers


class TestSecretFiles:
    def test_the_one_line(self, tmp_path: Path) -> None:
        path = tmp_path / "token"
        path.write_text(f"{SECRET}\n")
        assert read_secret(path, "SONOBANK_RELAY_TOKEN_FILE") == SECRET

    def test_what_is_missing_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(BadConfiguration, match="SONOBANK_RELAY_TOKEN_FILE is not set"):
            read_secret(None, "SONOBANK_RELAY_TOKEN_FILE")
        with pytest.raises(BadConfiguration, match="SONOBANK_RELAY_TOKEN_FILE points to a file that cannot be read"):
            read_secret(tmp_path / "none", "SONOBANK_RELAY_TOKEN_FILE")

    @pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe", b"one\r\ntwo"])
    def test_what_is_no_secret_is_refused(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "token"
        path.write_bytes(content)
        with pytest.raises(BadConfiguration, match="SONOBANK_RELAY_TOKEN_FILE"):
            read_secret(path, "SONOBANK_RELAY_TOKEN_FILE")
