"""Text that stands inside the picture: found before anybody looks, answered by a person, looked for again in what leaves."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest
from sqlmodel import select

from core.db import reading, transaction
from core.deid.text_line import Text
from core.deid.text_search import Picture
from core.dicom.pixel_format import PixelFormat
from core.errors import Conflict, Malformed, WrongState
from core.models.audit import AuditEvent
from core.models.curation import ImageMask, MaskState
from core.models.sitecase import CaseState
from core.models.transfer import PackageState
from core.node import SiteNode
from core.package import central_keys
from core.permissions import Actor
from core.queries import deid_report
from core.services import masks, readings, release, text_answers
from tests.casework import Case, pulled, written_on
from tests.pacs_twin import BadPacs, running
from tests.rawsearch import hits
from tests.sites import open_site, person

_seeds = count(900)


@dataclass
class Desk:
    node: SiteNode
    pacs: BadPacs
    ana: Actor
    folder: Path

    def case(self, words: str | None = None) -> Case:
        case = pulled(self.node, self.ana, self.pacs, written_on(next(_seeds), words))
        case.answer()
        case.pick()
        case.make_candidates()
        return case

    def answer(self, case: Case, said: dict[int, text_answers.Answer]) -> ImageMask:
        image = case.images()[0]
        with transaction(self.node.engine, "test") as session:
            revision = case.mask(image).revision
            text_answers.answer(session, self.ana, image.id, revision, said)
        masks.make_candidate(self.node, image.id)
        return case.mask(image)

    def uncover(self, case: Case) -> ImageMask:
        """The curator takes away every rectangle that text had proposed."""
        image = case.images()[0]
        mask = case.mask(image)
        rects = [tuple(r) for r, why in zip(mask.rects, mask.reasons, strict=True) if not why.startswith("text found")]
        with transaction(self.node.engine, "test") as session:
            masks.set_rects(session, self.ana, image.id, rects, mask.revision)  # type: ignore[arg-type]
        masks.make_candidate(self.node, image.id)
        return case.mask(image)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("texts")
    (folder / "public.json").write_text(central_keys.create(folder / "central").public().dump())
    pacs = BadPacs()
    with running(pacs), open_site(folder / "site", pacs.url, central_keys_file=folder / "public.json") as node:
        yield Desk(node, pacs, person(node), folder / "site" / "data")


def _open(mask: ImageMask) -> list[int]:
    return [number for number, text in enumerate(mask.texts) if text["answer"] is None]


def test_a_name_in_the_picture_is_masked_before_anybody_sees_it_and_kept_nowhere(desk: Desk) -> None:
    case = desk.case()
    mask = case.mask(case.images()[0])
    assert "text found: a name?" in mask.reasons
    assert mask.text_read and mask.texts == []
    names = [case.study.patient.latin.upper(), *case.study.patient.latin.upper().split()]
    assert hits(desk.folder, [name for name in names if len(name) > 4]) == []


def test_what_a_person_uncovers_waits_for_an_answer_and_leaves_only_with_one(desk: Desk) -> None:
    case = desk.case()
    image = case.images()[0]
    mask = desk.uncover(case)
    waiting = _open(mask)
    assert "name" in {mask.texts[number]["what"] for number in waiting}
    digest = case.look(image)
    with pytest.raises(WrongState, match="waits for your answer"):
        case.confirm(image, digest)
    mask = desk.answer(case, dict.fromkeys(waiting, "leave"))
    assert mask.digest == digest and not _open(mask)
    assert case.confirm(image, case.look(image)).state == MaskState.CONFIRMED
    with reading(desk.node.engine) as session:
        events = session.exec(select(AuditEvent).where(AuditEvent.verb == "mask.text-left")).all()
    (event,) = [one for one in events if one.subject == str(mask.id)]
    assert "name" in event.detail["kinds"].split(",") and event.detail["places"] == len(waiting)


def test_text_that_is_masked_makes_a_new_revision_and_the_reason_stays(desk: Desk) -> None:
    case = desk.case()
    before = desk.uncover(case)
    after = desk.answer(case, dict.fromkeys(_open(before), "mask"))
    assert after.revision == before.revision + 1 and after.texts == []
    assert "text found: a name?" in after.reasons
    image = case.images()[0]
    assert case.confirm(image, case.look(image)).state == MaskState.CONFIRMED


def test_an_answer_is_for_what_is_there_now(desk: Desk) -> None:
    case = desk.case()
    image = case.images()[0]
    mask = desk.uncover(case)
    for said, revision, wrong in (
        ({0: "leave"}, mask.revision - 1, Conflict),
        ({99: "leave"}, mask.revision, Malformed),
        ({}, mask.revision, Malformed),
    ):
        with transaction(desk.node.engine, "test") as session, pytest.raises(wrong):
            text_answers.answer(session, desk.ana, image.id, revision, said)  # type: ignore[arg-type]
    assert _open(case.mask(image)) == _open(mask)


def test_an_answer_stays_when_the_mask_is_changed_elsewhere(desk: Desk) -> None:
    case = desk.case()
    image = case.images()[0]
    mask = desk.answer(case, dict.fromkeys(_open(desk.uncover(case)), "leave"))
    with transaction(desk.node.engine, "test") as session:
        masks.set_rects(session, desk.ana, image.id, [*map(tuple, mask.rects), (0, 0, 5, 5)], mask.revision)  # type: ignore[list-item]
    assert not case.mask(image).text_read
    masks.make_candidate(desk.node, image.id)
    again = case.mask(image)
    assert again.text_read and again.texts and not _open(again)


def test_a_measurement_is_no_question(desk: Desk) -> None:
    mask = (case := desk.case("Dist 23.4 mm")).mask(case.images()[0])
    assert mask.texts == [] and not any(reason.startswith("text found") for reason in mask.reasons)


def test_what_is_learned_later_stops_the_release_and_brings_the_image_back(desk: Desk) -> None:
    case = desk.case("LIVER")
    image = case.images()[0]
    case.draw()
    assert case.mask(image).texts == []
    case.look_and_confirm()
    case.register()
    desk.node.vault.learn(case.id, names=("LIVER",))
    release.release(desk.node, case.id)
    assert case.package().state == PackageState.HELD and case.row.state == CaseState.CURATING
    assert "look at the image again" in (case.row.reason or "")
    mask = case.mask(image)
    assert mask.state == MaskState.PROPOSED and mask.revision == 2
    masks.make_candidate(desk.node, image.id)
    assert "name" in [case.mask(image).texts[number]["what"] for number in _open(case.mask(image))]


def test_frames_that_were_read_are_judged_again_and_not_read_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    case = desk.case("LIVER")
    case.draw()
    case.look_and_confirm()
    case.register()
    monkeypatch.setattr(readings, "find_texts", lambda *_: pytest.fail("these frames were read before"))
    assert case.release().state == PackageState.DEIDENTIFIED


def test_a_reading_is_of_these_very_frames_and_sealed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    image_id, seen, secret = uuid4(), count(), "QZXSECRETNAME"

    def find(*_: object) -> list[Text]:
        return [Text(1, (1, 2, 30, 14), f"{secret} {next(seen)}", 0.9)]

    monkeypatch.setattr(readings, "find_texts", find)

    def said(second: bytes = b"\1" * 12, rows: int = 2) -> str:
        fmt = PixelFormat("1.2.840.10008.1.2.1", rows, 2, 3, 8, 8, 0, "RGB", 0, 2)
        picture = Picture(fmt, lambda number: bytes(12) if number == 1 else second, None)
        (text,) = readings.texts_of(desk.node, image_id, picture)
        assert text.box == (1, 2, 30, 14)
        return text.words[-1]

    assert [said(), said(), said(b"\1" * 11 + b"\2"), said(rows=3), said(rows=3)] == ["0", "0", "1", "2", "2"]
    assert hits(desk.folder, [secret]) == []
    monkeypatch.setattr(readings, "READER", "text-other")
    assert said(rows=3) == "3"
    desk.node.staging.put(image_id, readings.KIND, [b"damaged"])
    assert said(rows=3) == "4"
    assert desk.node.staging.delete_case([image_id]) == 1


def test_the_report_says_what_was_done_and_repeats_nothing(desk: Desk) -> None:
    case = desk.case()
    case.draw()
    desk.answer(case, dict.fromkeys(_open(desk.uncover(case)), "leave"))
    case.look_and_confirm()
    case.register()
    # the name was left on purpose here: the header must not repeat it all the same
    assert case.release().state == PackageState.DEIDENTIFIED
    with reading(desk.node.engine) as session:
        report = deid_report.case_report(session, desk.ana, case.id)
        plain = deid_report.as_json(report)
    (image,) = plain["images"]
    assert ("name", "ana") in [(text["what"], text["by"]) for text in image["texts_left"]]
    kinds = image["header"]["counts"]["by_kind"]
    assert kinds["removed"] > 5 and kinds["replaced"] > 3 and kinds["kept"] > 10
    assert image["header"]["looked_for"]["values"] > 3
    patient = case.study.patient
    said = str(plain)
    assert not any(value in said for value in (patient.patient_id, patient.kanji, patient.latin.split()[0].upper()))
