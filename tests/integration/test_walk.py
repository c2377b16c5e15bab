"""Every page as every role: it opens, it is whole, it is in the person's language, and it shows nobody's identity."""

import gzip
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx2
import pytest
from playwright.sync_api import Browser
from sqlalchemy import text

from commands.demo import Running, running
from commands.demo_journey import Journey
from commands.screens import SHOTS, Shot, chromium, places, sign_in
from core.db import make_engine
from core.models.people import Role
from tests.integration.test_chain import CASES, SEED, values_of_patients
from tests.live import violations
from tests.nodes import free_layout, logs_of
from tests.rawsearch import hits
from tests.walker import Seen, look, walk

pytestmark = pytest.mark.slow
NODES = ("site", "central")


@dataclass
class Bank:
    """The demo after its journey, and a person for each role at each node."""

    nodes: Running
    passwords: dict[tuple[str, str], str]
    research_ids: set[str]
    patient_values: set[str]
    places: dict[str, str]

    @contextmanager
    def browser(self, node: str, role: str, lang: str = "ja") -> Iterator[httpx2.Client]:
        url = self.nodes.papers[node]["url"]
        headers = {"Accept": "text/html", "Accept-Language": lang, "Sec-Fetch-Site": "same-origin"}
        with httpx2.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
            form = {"name": f"walk-{role.lower()}", "password": self.passwords[node, role]}
            assert client.post("/sign-in", data=form).status_code == 303
            yield client


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    layout = free_layout(tmp_path_factory.mktemp("walk"))
    with running(layout) as nodes:
        with Journey(layout, nodes.papers, SEED, CASES, say=lambda text: None) as journey:
            summary = journey.run()
            assert summary["ok"], f"{summary}\n{logs_of(nodes)}"
            hands = journey.leave_for_hands()
            found = places(nodes, hands[0], hands[-1])
        yield Bank(nodes, dict(_people(nodes)), _research_ids(nodes), values_of_patients(), found)


def _people(nodes: Running) -> Iterator[tuple[tuple[str, str], str]]:
    for node in NODES:
        papers = nodes.papers[node]
        headers = {"Authorization": f"Bearer {papers['tokens']['admin']}"}
        with httpx2.Client(base_url=papers["url"], headers=headers, timeout=60, trust_env=False) as client:
            for role in Role:
                if role is Role.MACHINE:
                    continue
                password = secrets.token_urlsafe(12)
                grants = [{"role": role.value, "domain": "*"}]
                body = {"name": f"walk-{role.value.lower()}", "password": password, "grants": grants}
                answer = client.post("/api/v1/users", json=body)
                assert answer.status_code == 201, answer.text
                yield (node, role.value), password


def _research_ids(nodes: Running) -> set[str]:
    engine = make_engine(nodes.urls["central"])
    try:
        with engine.connect() as connection:
            rows = connection.execute(text("SELECT research_id::text FROM bank_case")).scalars()
            return set(rows)
    finally:
        engine.dispose()


ROLES = [role.value for role in Role if role is not Role.MACHINE]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("node", NODES)
def test_every_page_of_a_role_opens_and_shows_nobodys_identity(bank: Bank, node: str, role: str) -> None:
    wrong: list[str] = []
    with bank.browser(node, role) as client:
        seen = list(walk(client))
        for page in seen:
            wrong += [f"{page.url}: {fault}" for fault in _faults(bank, node, page)]
    assert len(seen) >= 3
    assert not wrong, "\n".join(wrong)


def _is_in(value: str, shown: str) -> bool:
    """A Latin name is looked for as a word: ENDO is a surname, ENDOCAV_PA is a transducer."""
    if value not in shown:
        return False  # most are not: much quicker than to look for words
    if value.isascii() and value.isalpha():
        return re.search(rf"(?<![A-Za-z]){value}(?![A-Za-z])", shown) is not None
    return True


def test_a_name_is_found_as_a_word_only() -> None:
    assert _is_in("ENDO", "<p>ENDO^AKEMI</p>") and _is_in("ENDO", "name=ENDO_1") and _is_in("やまざき", "名やまざき様")
    assert not _is_in("ENDO", "<option>ENDOCAV_PA</option>")


def _faults(bank: Bank, node: str, page: Seen) -> list[str]:
    found = [] if page.status in {200, 303} else [f"status {page.status}"]
    shown = f"{page.url} {page.headers} {page.body}"
    found += [
        f"shows a patient's value ({len(value)} characters)" for value in bank.patient_values if _is_in(value, shown)
    ]
    if node == "site":
        found += ["shows a research ID" for research_id in bank.research_ids if research_id in shown]
    if page.is_page:
        found += [f"English in the Japanese page: {words!r}" for words in page.reader.english_sentences()[:3]]
    return found


@pytest.mark.parametrize("node", NODES)
def test_every_fragment_is_a_whole_page_for_a_plain_browser(bank: Bank, node: str) -> None:
    with bank.browser(node, "CUR" if node == "site" else "DOM", "en") as client:
        fragments = {pair for page in walk(client) for pair in page.reader.fragments}
        for url, target in sorted(fragments):
            part = look(client, url, **{"HX-Request": "true", "HX-Target": target})
            assert part.status == 200 and not part.is_page, url
            whole = look(client, url)
            assert whole.status == 200 and whole.is_page, url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running_browser:
        yield running_browser


@pytest.mark.parametrize("shot", SHOTS, ids=lambda shot: shot.name)
def test_every_page_is_accessible_and_light(bank: Bank, browser: Browser, shot: Shot) -> None:
    """axe finds nothing, and script and style of the page are at most 250 kB on the wire."""
    papers, weights = bank.nodes.papers[shot.node], {}
    with sign_in(browser, papers["url"], shot.person, papers["users"].get(shot.person, ""), "ja") as page:
        heavy = {"script", "stylesheet"}
        page.on("response", lambda r: r.request.resource_type in heavy and weights.update({r.url: r}))
        page.goto(shot.path.format(**bank.places))
        page.wait_for_timeout(1200)
        assert violations(page) == []
        sizes = {url: len(gzip.compress(answer.body())) for url, answer in weights.items()}
    assert 0 < sum(sizes.values()) <= 250_000, sizes


def test_no_log_says_who_a_patient_is(bank: Bank) -> None:
    assert hits(bank.nodes.layout.folder / "logs", bank.patient_values) == []
