"""How far readers agree: the page, its CSV and JSON, on readings whose figures are known."""

import csv
import io
from collections.abc import Iterator

import pytest

from core.db import reading, transaction
from core.models.people import Role
from core.models.sitecase import SiteCase
from core.permissions import Actor
from core.queries.agreement import agreement
from core.services import reads
from tests.postgres_fixture import ScratchPostgres
from tests.reading_site import DeskCase, actor_of, box, make_case, signed_in
from tests.served import Served, serve

GRANTS = {"curator": [Role.CUR], "lead": [Role.REG], "ada": [Role.CUR], "bob": [Role.CUR, Role.REG]}
# (the curator's diagnosis, ada's, bob's) of each case.
SAID = [
    ("LIV-HCC", "LIV-HCC", "LIV-HCC"),
    ("LIV-HCC", "LIV-HCC", "LIV-CYST"),
    ("LIV-CYST", "LIV-CYST", "LIV-CYST"),
    ("LIV-CYST", "LIV-HCC", "LIV-HCC"),
]


def actor(served: Served, name: str) -> Actor:
    return actor_of(served, GRANTS, name)


@pytest.fixture(scope="module")
def served(postgres: ScratchPostgres) -> Iterator[Served]:
    with serve(postgres, "site") as made:
        for name, roles in GRANTS.items():
            made.person(name, [(role, "*") for role in roles])
        yield made


def test_without_readings_the_page_teaches_the_next_step(served: Served) -> None:
    for lang, words in (("en", "No two people"), ("ja", "まだありません")):
        with signed_in(served, "lead", lang) as client:
            page = client.get("/agreement")
            assert page.status_code == 200 and words in page.text
            assert client.get("/agreement.json").json() == []


@pytest.fixture(scope="module")
def cases(served: Served) -> list[DeskCase]:
    return [read_by_all(served, *said) for said in SAID]


def read_by_all(served: Served, own: str, ada: str, bob: str) -> DeskCase:
    case = make_case(served, "curator")
    case.answer(actor(served, "curator"), diagnosis=own)
    case.draw(actor(served, "curator"), x=100.0)
    for name, diagnosis, x, size in (("ada", ada, 110.0, 20.0), ("bob", bob, 120.0, 23.0)):
        with transaction(served.node.engine, "test.read") as session:
            (read,) = reads.assign(session, actor(served, "lead"), case.id, [served.people[name].id], None)
            who = actor(served, name)
            reads.save_form(session, who, read.id, {"diagnosis": diagnosis, "size_long_mm": size}, 0)
            reads.add_roi(session, who, read.id, case.images[0], box(x=x))
        with transaction(served.node.engine, "test.submit") as session:
            reads.submit(session, who, read.id)
    case.answer(actor(served, "curator"), diagnosis="LIV-MET")  # what is said later is not what was compared
    return case


def test_figures_of_every_pair_are_those_of_the_readings(served: Served, cases: list[DeskCase]) -> None:
    with reading(served.node.engine) as session:
        pairs = {(pair.one, pair.other): pair for pair in agreement(session, actor(served, "lead"))}
    assert set(pairs) == {("ada", "bob"), ("ada", "curator"), ("bob", "curator")}
    both = pairs["ada", "bob"]
    fields = {one.code: one for one in both.fields}
    kappa, percent = fields["diagnosis"].kappa, fields["diagnosis"].percent
    assert kappa is not None and percent is not None
    # Three of four the same; by chance 3/4 * 1/2 + 1/4 * 1/2 = 1/2.
    assert (kappa.value, percent.value, kappa.items, both.cases) == (pytest.approx(0.5), pytest.approx(75), 4, 4)
    difference = fields["size_long_mm"].difference
    assert difference is not None and difference.value == pytest.approx(3)
    # Boxes of 40 x 30 that are 10 pixels (5 mm) apart: 30 of 50 columns in common.
    assert both.rois.iou.value == pytest.approx(0.6) and both.rois.dice.value == pytest.approx(0.75)
    assert both.rois.centre_mm.value == pytest.approx(5) and (both.rois.matched, both.rois.alone) == (4, 0)
    own = {one.code: one for one in pairs["ada", "curator"].fields}["diagnosis"].percent
    assert own is not None and own.value == pytest.approx(75)


def test_the_table_and_json_say_the_same(served: Served, cases: list[DeskCase]) -> None:
    with signed_in(served, "lead") as client:
        page = client.get("/agreement").text
        assert "ada" in page and "0.6" in page and 'class="range"' in page
        rows = list(csv.DictReader(io.StringIO(client.get("/agreement.csv").text.lstrip("\ufeff"))))
        told = client.get("/agreement.json").json()
    wanted = ("ada", "bob", "roi", "iou")
    (row,) = [r for r in rows if (r["reader_1"], r["reader_2"], r["field"], r["measure"]) == wanted]
    (pair,) = [one for one in told if (one["reader_1"], one["reader_2"]) == wanted[:2]]
    (figure,) = [one for one in pair["figures"] if (one["field"], one["measure"]) == wanted[2:]]
    assert float(row["value"]) == pytest.approx(figure["value"]) == pytest.approx(0.6)
    assert int(row["n"]) == figure["items"] == 4


def test_what_one_reads_blind_is_in_no_figure(served: Served, cases: list[DeskCase]) -> None:
    with transaction(served.node.engine, "test.assign") as session:
        fresh = make_case(served, "curator")
        fresh.answer(actor(served, "curator"), diagnosis="LIV-HCC")
    with transaction(served.node.engine, "test.assign") as session:
        ids = [served.people[name].id for name in ("ada", "bob")]
        first, _ = reads.assign(session, actor(served, "lead"), fresh.id, ids, None)
    with transaction(served.node.engine, "test.read") as session:
        reads.save_form(session, actor(served, "ada"), first.id, {"diagnosis": "LIV-FNH"}, 0)
    with transaction(served.node.engine, "test.submit") as session:
        reads.submit(session, actor(served, "ada"), first.id)
        assert session.get_one(SiteCase, fresh.id).number == fresh.number
    counted = {}
    for name in ("lead", "bob"):
        with reading(served.node.engine) as session:
            pairs = {(pair.one, pair.other): pair.cases for pair in agreement(session, actor(served, name))}
        counted[name] = pairs["ada", "curator"]
    assert counted == {"lead": 5, "bob": 4}
