"""Transfers over a real node: each package's way, what needs attention first, who may see and send again, messages, CSV."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlmodel import select

from core.db import reading, transaction
from core.models.audit import AuditEvent
from core.models.people import Role
from core.models.sitecase import SiteCase
from core.models.transfer import Package, PackageState, SignedMessage
from core.node import SiteNode
from core.package.messages import Reason
from core.queries import transfers as queries
from core.security import session_cookie_name
from core.vault import Identity
from tests.postgres_fixture import ScratchPostgres
from tests.served import Served, serve
from tests.shipping import SIZE, Shipping, public_keys

PEOPLE = {
    "xfer": [(Role.XFER, "*")],
    "breast": [(Role.XFER, "breast"), (Role.REG, "breast")],
    "reg": [(Role.REG, "liver")],
    "cur": [(Role.CUR, "*")],
}
S = PackageState


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("transfers")
    keys, path = public_keys(folder)
    with serve(postgres, "site", central_keys_file=path) as served:
        for name, grants in PEOPLE.items():
            served.person(name, grants)
        served.client.headers.update({"Sec-Fetch-Site": "same-origin", "Accept": "text/html"})
        served.central = keys  # type: ignore[attr-defined]
        yield served


@pytest.fixture
def shipping(site: Served) -> Iterator[Shipping]:
    """Nothing is on its way yet."""
    assert isinstance(site.node, SiteNode)
    with transaction(site.node.engine, "test.empty") as session:
        session.execute(text("TRUNCATE signed_message, package, site_case CASCADE"))
    yield Shipping(site.node, site.central)  # type: ignore[attr-defined]
    site.client.cookies.clear()


def shown(site: Served, path: str, name: str = "xfer", lang: str = "en", status: int = 200, **headers: str) -> str:
    site.client.cookies.clear()
    site.client.cookies.set(session_cookie_name(site.settings), site.cookie(name))
    answer = site.client.get(path, headers={"Accept-Language": lang, **headers})
    assert answer.status_code == status, answer.text
    return str(answer.text)


def numbers(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'class="case" href="[^"]+">Case (\d+)<', page)]


def number(shipping: Shipping, package: Package) -> int:
    return shipping.case(package).number


def ways(page: str) -> list[list[str]]:
    found = re.findall(r'<ol class="way">(.*?)</ol>', page, re.DOTALL)
    return [re.findall(r'<li class="(\w+)">', one) for one in found]


def test_without_a_package_the_page_says_how_one_comes_to_be(site: Served, shipping: Shipping) -> None:
    page = shown(site, "/transfers", lang="ja")
    assert "送信パッケージはまだありません" in page and 'href="/worklist"' in page


@pytest.mark.parametrize(
    ("state", "way"),
    [
        (S.BUILDING, ["now", "wait", "wait", "wait"]),
        (S.STAGED, ["done", "now", "wait", "wait"]),
        (S.SEND_FAILED, ["done", "stop", "wait", "wait"]),
        (S.SENT, ["done", "done", "now", "wait"]),
        (S.QUARANTINED, ["done", "done", "stop", "wait"]),
        (S.ACCEPTED, ["done", "done", "done", "now"]),
        (S.REPLICATED, ["done", "done", "done", "done"]),
        (S.HELD, ["stop", "wait", "wait", "wait"]),
        (S.TAKEN_BACK, ["done", "off", "wait", "wait"]),
    ],
)
def test_each_state_has_its_place_on_the_way(
    site: Served, shipping: Shipping, state: PackageState, way: list[str]
) -> None:
    package = shipping.ship(state)
    assert ways(shown(site, "/transfers")) == [way]
    assert ways(shown(site, f"/transfers/{package.id}")) == [way]


def test_what_needs_attention_comes_first(site: Served, shipping: Shipping) -> None:
    fine = shipping.ship(S.REPLICATED, minutes_ago=10)
    held = shipping.ship(S.HELD, reason="The file has no picture.", minutes_ago=300)
    failed = shipping.ship(S.SEND_FAILED, reason="The next node cannot be reached; it is tried again.", minutes_ago=200)
    page = shown(site, "/transfers", lang="ja")
    assert re.findall(r">症例 (\d+)<", page) == [str(number(shipping, one)) for one in (failed, held, fine)]
    assert "ファイルに画像がありません。" in page and "送信先に接続できません。" in page and "cannot" not in page
    assert numbers(shown(site, "/transfers?show=attention")) == [number(shipping, failed), number(shipping, held)]


def test_what_somebody_has_taken_up_needs_nobody_else(site: Served, shipping: Shipping) -> None:
    held = shipping.ship(S.HELD)
    shipping.ship(S.STAGED, case=shipping.case(held), attempt=2)
    quarantined = shipping.ship(S.QUARANTINED)
    with transaction(site.node.engine, "test.correct") as session:
        session.get_one(SiteCase, quarantined.case_id).revision = 2
    assert numbers(shown(site, "/transfers?show=attention")) == []


def test_a_day_without_an_answer_needs_attention(site: Served, shipping: Shipping) -> None:
    waiting = shipping.ship(S.SENT, minutes_ago=60)
    silent = shipping.ship(S.SENT, minutes_ago=25 * 60)
    page = shown(site, "/transfers?show=attention")
    assert numbers(page) == [number(shipping, silent)] != [number(shipping, waiting)]
    assert "more than 24 hours" in page


def test_the_list_is_narrowed_by_state_and_case_number(site: Served, shipping: Shipping) -> None:
    sent, other = shipping.ship(S.SENT), shipping.ship(S.REPLICATED)
    assert numbers(shown(site, "/transfers?show=SENT")) == [number(shipping, sent)]
    assert numbers(shown(site, f"/transfers?number={number(shipping, other)}")) == [number(shipping, other)]
    assert "No package fits" in shown(site, "/transfers?show=HELD")
    for nonsense in ("show=EVERYTHING", "number=x", f"number={'9' * 40}", "page=0", "page=x"):
        assert len(numbers(shown(site, f"/transfers?{nonsense}"))) == 2


def test_long_lists_have_pages(site: Served, shipping: Shipping, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "PAGE", 2)
    made = [number(shipping, shipping.ship(S.REPLICATED, minutes_ago=minutes)) for minutes in (1, 2, 3)]
    first, second = shown(site, "/transfers"), shown(site, "/transfers?page=2")
    assert numbers(first) + numbers(second) == made
    assert "page=2" in first and 'href="/transfers"' in second


def test_everybody_sees_the_packages_of_their_domains_only(site: Served, shipping: Shipping) -> None:
    liver, breast = shipping.ship(S.SENT), shipping.ship(S.SENT, domain="breast")
    assert numbers(shown(site, "/transfers", "breast")) == [number(shipping, breast)]
    assert numbers(shown(site, "/transfers", "reg")) == [number(shipping, liver)]
    shown(site, f"/transfers/{liver.id}", "breast", status=404)
    shown(site, f"/transfers/{uuid4()}", status=404)
    shown(site, "/transfers", "cur", status=403)
    assert str(liver.id) not in shown(site, "/transfers.csv", "breast")


def test_bytes_on_their_way_are_shown_with_their_share(site: Served, shipping: Shipping) -> None:
    shipping.ship(S.STAGED, sent_bytes=SIZE // 4)
    page = shown(site, "/transfers")
    assert "10 MB of 40 MB (25%)" in page and f'<progress value="{SIZE // 4}" max="{SIZE}"' in page


def test_the_page_asks_again_only_while_something_moves(site: Served, shipping: Shipping) -> None:
    shipping.ship(S.REPLICATED)
    assert "every 2s" not in shown(site, "/transfers")
    moving = shipping.ship(S.STAGED, minutes_ago=5)
    page = shown(site, "/transfers?show=STAGED")
    assert 'hx-get="/transfers?show=STAGED" hx-trigger="every 2s"' in page and "data-poll" in page
    assert "every 2s" in shown(site, f"/transfers/{moving.id}")
    shipping.ship(S.STAGED, minutes_ago=48 * 60)
    assert "every 2s" not in shown(site, "/transfers?page=9")


def test_htmx_gets_the_list_alone_and_others_a_whole_page(site: Served, shipping: Shipping) -> None:
    package = shipping.ship(S.SENT)
    for path, part in (("/transfers", "transfers"), (f"/transfers/{package.id}", "transfer")):
        fragment = shown(site, path, **{"HX-Request": "true", "HX-Target": part})
        assert fragment.strip().startswith(f'<div id="{part}"') and "<html" not in fragment
        assert shown(site, path).startswith("<!doctype html>")


def test_a_package_shows_its_hash_keys_trail_and_verified_messages(site: Served, shipping: Shipping) -> None:
    package = shipping.ship(S.REPLICATED)
    shipping.receipt(package)
    shipping.replicated(package, count=7)
    shipping.receipt(shipping.ship(S.ACCEPTED))
    page = shown(site, f"/transfers/{package.id}")
    assert f'data-copy="{package.id}"' in page and f'data-copy="{package.sha256}"' in page
    assert page.count('<article class="told">') == 2 and page.count("Verified") == 2 and "7 images" in page
    trail = re.findall(r'<tr><td class="nowrap">.*?</td><td>(.*?)</td>', page)
    assert trail == [
        "De-identified and verified", "Sealed and signed", "Arrived at the relay", "Accepted by central",
        "Copy in the cloud confirmed",
    ]  # fmt: skip


def test_a_verdict_is_shown_with_its_reasons_in_words(site: Served, shipping: Shipping) -> None:
    package = shipping.ship(S.QUARANTINED, reason="PERSONAL_TEXT, GEOMETRY")
    shipping.receipt(package, Reason.PERSONAL_TEXT, Reason.GEOMETRY)
    page = shown(site, f"/transfers/{package.id}", lang="ja")
    assert page.count("画像内に個人情報と思われる文字があります。画像サイズ、ROI またはマスクの位置が合いません。") == 2
    assert "隔離" in page and "訂正して新しい版を登録" in page


def test_a_message_that_was_changed_here_is_not_called_verified(site: Served, shipping: Shipping) -> None:
    package = shipping.ship(S.ACCEPTED)
    row = shipping.receipt(package)
    with transaction(site.node.engine, "test.forge") as session:
        stored = session.get_one(SignedMessage, row.id)
        stored.body = stored.body.replace('"case_version":1', '"case_version":2')
    page = shown(site, f"/transfers/{package.id}")
    assert "Not verified with the present key" in page


def test_sending_again_is_a_plain_form_and_an_audit_event(site: Served, shipping: Shipping) -> None:
    package = shipping.ship(S.SEND_FAILED)
    assert f'action="/transfers/{package.id}/retry"' in shown(site, "/transfers")
    assert "/retry" not in shown(site, "/transfers", "reg")
    shown(site, "/transfers")  # the sender is at the browser again
    answer = site.client.post(f"/transfers/{package.id}/retry", data={"back": "list"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/transfers")
    with reading(site.node.engine) as session:
        events = session.exec(select(AuditEvent).where(AuditEvent.verb == "package.retry")).all()
        assert [event.subject for event in events if event.subject == str(package.id)] == [str(package.id)]
        jobs = session.execute(text("SELECT args FROM procrastinate_jobs WHERE task_name = 'send'")).scalars().all()
    assert {"package_id": str(package.id)} in jobs
    assert "The package is queued" in site.client.get("/transfers", headers={"Accept-Language": "en"}).text


def test_only_who_may_send_sends_and_only_what_waits(site: Served, shipping: Shipping) -> None:
    failed, sent = shipping.ship(S.SEND_FAILED), shipping.ship(S.SENT)
    for name, package, status in (("reg", failed, 403), ("breast", failed, 404), ("xfer", sent, 409)):
        shown(site, "/transfers", name)
        answer = site.client.post(f"/transfers/{package.id}/retry", data={"back": "list"})
        assert answer.status_code == status
    assert "Only a package that waits or failed can be sent again." in answer.text


def test_the_list_is_a_file_whose_cells_run_nothing(site: Served, shipping: Shipping) -> None:
    package = shipping.ship(S.HELD, reason="=cmd|' /C calc'!A1")
    sent = shipping.ship(S.SENT, minutes_ago=90)
    answer = shown(site, "/transfers.csv")
    head, *rows = csv.reader(io.StringIO(answer.removeprefix("\ufeff")))
    assert head[:3] == ["Package ID", "Case number", "Version"] and len({len(row) for row in (head, *rows)}) == 1
    assert [row[0] for row in rows] == [str(package.id), str(sent.id)]
    assert rows[0][head.index("Reason")].startswith("'=")
    assert rows[1][head.index("SHA-256 of the ciphertext")] == sent.sha256
    assert [row[0] for row in csv.reader(io.StringIO(shown(site, "/transfers.csv?show=SENT")))][1:] == [str(sent.id)]


def test_no_page_carries_what_identifies_a_patient(site: Served, shipping: Shipping) -> None:
    package = shipping.ship(S.SENT)
    shipping.node.vault.seal(package.case_id, Identity(chart_id="00770077", accession="ACC-9"))
    link = shipping.node.vault.link(package.case_id)
    for path in ("/transfers", f"/transfers/{package.id}", "/transfers.csv"):
        page = shown(site, path)
        assert not any(
            secret in page for secret in (str(link.research_id), str(link.outward_case_id), "770077", "ACC-9")
        )
