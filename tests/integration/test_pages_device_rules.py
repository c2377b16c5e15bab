"""The wizard's pages without a browser: what was typed stays, what is wrong is said, and rules go in and out as JSON."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from httpx2 import Response
from sqlmodel import select

from core.db import reading
from core.models.devices import DeviceRule
from core.models.people import Role
from core.node import SiteNode
from core.security import session_cookie_name
from tests.device_site import content, hold
from tests.postgres_fixture import ScratchPostgres
from tests.served import Served, serve


@pytest.fixture(scope="module")
def site(postgres: ScratchPostgres) -> Iterator[Served]:
    with serve(postgres, "site") as served:
        served.person("mori", [(Role.SITEPI, "*")])
        served.person("breast", [(Role.SITEPI, "breast")])
        assert isinstance(served.node, SiteNode)
        hold(served.node, served.people["mori"].id)
        yield served


def ask(site: Served, method: str, path: str, form: dict[str, Any] | None = None, name: str = "mori") -> Response:
    site.client.cookies.clear()
    site.client.cookies.set(session_cookie_name(site.settings), site.cookie(name))
    headers = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html", "Accept-Language": "en"}
    return site.client.request(method, path, data=form, headers=headers)


def form(**changes: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "manufacturer": "Hakusan Medical Works", "model": "EchoView 300", "aliases": "EV300, EV 300", "software": "",
        "image_type": "", "rows": "576", "columns": "768", "scale": "refuse", "outside": "yes",
        "x": ["0", ""], "y": ["536", ""], "width": ["768", ""], "height": ["40", ""],
    }  # fmt: skip
    return known | changes


def rules(site: Served) -> list[DeviceRule]:
    with reading(site.node.engine) as session:
        return list(session.exec(select(DeviceRule).order_by(DeviceRule.id)))  # type: ignore[arg-type]


def test_what_is_wrong_is_said_and_what_was_typed_stays(site: Served) -> None:
    for changes, problem in (
        ({"x": ["zero", ""]}, "A rectangle is four whole numbers."),
        ({"x": ["1", ""]}, "A rectangle leaves the image of the rule."),
        ({"model": ""}, "A rule names a model"),
        ({"software": "/(a+)+$/"}, "is no expression"),
        ({"sample": "nonsense"}, "There is no such image."),
        ({"manufacturer": "<script>|"}, "A name has at most 64 characters"),
    ):
        answer = ask(site, "POST", "/devices/rules", form(**changes))
        assert answer.status_code == 422 and problem in answer.text, changes
        assert 'value="EV300, EV 300"' in answer.text and "<script>|" not in answer.text
    assert rules(site) == []


def test_a_rule_is_made_tested_published_and_retired_by_plain_forms(site: Served) -> None:
    address = "/devices/rules/new?maker=Hakusan+Medical+Works&model=EchoView+300&columns=768&rows=576"
    assert 'value="EchoView 300"' in ask(site, "GET", address).text
    assert ask(site, "GET", address, name="breast").status_code == 404  # nothing of theirs is held
    made = ask(site, "POST", "/devices/rules", form())
    (rule,) = rules(site)
    assert made.status_code == 303 and made.headers["location"] == f"/devices/rules/{rule.id}/trial"
    assert rule.aliases == ["EV300", "EV 300"] and rule.rects == [[0, 536, 768, 40]] and rule.tested["covered"] == 2
    trial = ask(site, "GET", f"/devices/rules/{rule.id}/trial").text
    assert trial.count(f"?rule={rule.id}&amp;width=") == 2 and "Publish version 1" in trial
    stale = ask(site, "POST", f"/devices/rules/{rule.id}/publish", {"edits": "7", "note": "typed"})
    assert stale.status_code == 409 and 'value="typed"' in stale.text
    done = ask(site, "POST", f"/devices/rules/{rule.id}/publish", {"edits": "1", "note": "a note"})
    assert done.headers["location"] == f"/devices/rules/{rule.id}/queue"
    assert re.search(r"Case 1</a></th><td class=\"number\">2</td>", ask(site, "GET", done.headers["location"]).text)
    page = ask(site, "GET", "/devices").text
    assert rule.code in page and "In use" in page and "a note" in page
    edited = ask(site, "POST", f"/devices/rules/{rule.id}", form(edits="1", scale="exact"))
    assert edited.status_code == 303 and "changed since" in ask(site, "GET", "/devices").text
    assert ask(site, "POST", f"/devices/rules/{rule.id}/retire", {"x": ""}).status_code == 303
    assert "This rule is retired" in ask(site, "GET", f"/devices/rules/{rule.id}").text


def test_rules_go_out_and_come_in_as_json(site: Served) -> None:
    site.client.cookies.clear()
    head = site.bearer("mori")
    before = len(rules(site))
    body = {"format": "sonobank-device-rules-v1", "site": "OSAKA01", "rules": [{"content": content(model="EV 400")}]}
    made = site.client.post("/api/v1/device-rules", headers=head, json=body)
    assert made.status_code == 201 and [one["state"] for one in made.json()] == ["DRAFT"]
    assert len(rules(site)) == before + 1
    trial = ask(site, "GET", f"/devices/rules/{made.json()[0]['id']}/trial").text
    assert "Save and test it again" in trial and "No held image is of this device" not in trial.split("<section")[0]
    site.client.cookies.clear()
    told = site.client.get("/api/v1/device-rules", headers=head).json()
    assert told["format"] == body["format"] and told["rules"] == []
    wrong = body | {"rules": [{"content": content(rects=[[0, 0, 9999, 9]])}]}
    answer = site.client.post("/api/v1/device-rules", headers=head, json=wrong)
    assert answer.status_code == 422 and len(rules(site)) == before + 1
