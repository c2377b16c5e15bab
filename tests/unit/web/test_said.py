"""Every sentence that a service may put before a person has its Japanese, and none is written for nobody."""

import re
from collections.abc import Iterator
from typing import Final

import pytest

from core.deid.verify import NON_PIXEL
from core.models.curation import MaskState
from core.models.sitecase import CaseState
from core.models.transfer import ParcelState
from core.package.messages import Reason
from core.services.bring_in import FOUND
from core.services.curation import EXCLUDE_REASONS, REJECT_REASONS
from core.services.texts import REASONS
from tests.sentences import ROOT, classes, modules, sentences
from web import texts
from web.said import CATALOGUE, RECEIPT, UNTRANSLATED, said

# What these say is heard at a command line or by another program; no page can meet it.
EXEMPT: Final = {
    "core/folder/": "de-identifying a folder by command",
    "core/dicom/query.py": "the search of DICOMweb, whose answers are for programs",
    "core/opening.py": "the start of a node",
    "core/postgres.py": "the start of the embedded database",
    "core/postgres_account.py": "the start of the embedded database",
    "core/postgres_server.py": "the start of the embedded database",
    "core/vault/keys.py": "the start of a node, and its keys by command",
    "core/vault/migrate.py": "the start of a node, and its vault by command",
    "workers/runner.py": "the log of a worker",
}
# Words that are no sentence of their own but stand in one, or are kept in a row as a code.
WORDS: Final = {
    *MaskState, *ParcelState, *REJECT_REASONS, *EXCLUDE_REASONS, NON_PIXEL, "bytes after the last element",
    "file meta {}", "record", "message", "tombstone", "package header", "the whole", "and {} more places",
    "image {}", "images", *REASONS.values(), FOUND,
}  # fmt: skip
JA: Final = texts.read(CATALOGUE)


def spoken() -> dict[str, str]:
    known = classes(modules("core", "api", "web", "workers"))
    return sentences(modules("core", "web", "workers", but=tuple(EXEMPT)), known)


SPOKEN: Final = spoken()
STATES: Final = {
    key.partition(".")[2] for key in texts.catalogue("ja") if re.fullmatch(r"(case|package)\.[A-Z_]+", key)
}


def test_every_sentence_has_its_japanese() -> None:
    missing = [f"{where}: {words}" for words, where in SPOKEN.items() if words not in JA]
    assert not missing, "\n".join(["web/locale/said/ja.po lacks:", *missing])


def test_no_japanese_is_for_what_nobody_says_any_more() -> None:
    assert set(JA) - set(SPOKEN) - WORDS == set()


def test_words_that_stand_in_sentences_are_said_too() -> None:
    assert {word for word in WORDS if word not in JA and word not in STATES} == set()


def test_exempt_files_are_still_there() -> None:
    assert [path for path in EXEMPT if not (ROOT / path).exists()] == []


def test_places_are_the_same_in_both_languages() -> None:
    place = re.compile(r"\{\d?\}")
    assert [english for english in JA if len(place.findall(english)) != len(place.findall(JA[english][0]))] == []


def test_the_japanese_is_japanese_and_ends_as_the_english_does() -> None:
    kana = re.compile(r"[぀-ヿ一-鿿]")
    assert [english for english in JA if english not in FRAMES and not kana.search(JA[english][0])] == []
    full_stop = [english for english in SPOKEN if english[0].isupper() and english[-1] in ".?"]
    assert [english for english in full_stop if JA[english][0][-1] not in "。）"] == []


FRAMES: Final = {"{}: {}", "images.{}.{}", "rois.{}.{}"}


def filled() -> Iterator[str]:
    for english in SPOKEN:
        yield english.replace("{}", "7")


@pytest.mark.parametrize("english", sorted(set(filled())))
def test_no_sentence_falls_back_to_the_general_one(english: str) -> None:
    if english not in {frame.replace("{}", "7") for frame in FRAMES}:
        assert said("ja", english) not in {"", JA[UNTRANSLATED][0]} or english == UNTRANSLATED
    assert said("en", english) == english


@pytest.mark.parametrize(
    ("english", "japanese"),
    [
        ("image 3: Its mask is not confirmed.", "画像 3：マスクが確認されていません。"),
        ("diagnosis: Diagnosis is missing.", "診断名：診断名がありません。"),
        (
            "images: Pick at least one image.; image 2: An ROI lies under a mask.",
            "画像：画像を 1 枚以上選んでください。画像 2：ROI がマスクと重なっています。",
        ),
        (
            "A case that is QUEUED cannot become CURATING.",
            "「取得待ち」の症例を「キュレーション待ち」にすることはできません。",
        ),
        ("A mask that is VOID cannot become CONFIRMED.", "「無効」のマスクを「確認済み」にすることはできません。"),
        (
            "the device's rule, scaled to this size and everything outside the ultrasound regions",
            "装置の規則（このサイズに換算）と、超音波領域の外側すべて",
        ),
        (
            "no rule knows this device at this size: the whole image, which has no region",
            "この装置とサイズの規則なし：画像全体（超音波領域の情報なし）",
        ),
        (
            "Identifying values remain in: PatientName, non-pixel bytes.",
            "識別情報が残っています：PatientName、画素以外のデータ。",
        ),
        (
            "The record breaks the contract: the whole (images.0.frames: more pixels than an image may have); age_years.",
            "記録がデータ規約に合いません：全体（images.0.frames：画素数が上限を超えています）、年齢（90以上は90）。",
        ),
        (
            "The PACS lists 12 instances and sent 7; asked again.",
            "PACS の一覧は 12 枚、届いたのは 7 枚です。もう一度取得します。",
        ),
        ("wrong-patient", "患者違い"),
    ],
)
def test_what_stands_in_a_place_is_said_too(english: str, japanese: str) -> None:
    assert said("ja", english) == japanese


@pytest.mark.parametrize("english", ["Nobody has translated this.", "x: y", "Trouble: the disk of node 7 is on fire."])
def test_what_nobody_has_translated_is_never_shown_in_english(english: str) -> None:
    assert said("ja", english) == JA[UNTRANSLATED][0]


def test_the_codes_of_central_s_receipts_are_sentences_in_both_languages() -> None:
    assert set(RECEIPT) == set(Reason)
    assert said("ja", "PERSONAL_TEXT, GEOMETRY") == (
        "画像内に個人情報と思われる文字があります。画像サイズ、ROI またはマスクの位置が合いません。"
    )
    assert said("en", "SIGNATURE") == "The signature does not fit."


def test_nothing_said_is_nothing() -> None:
    assert (said("ja", None), said("ja", ""), said("en", None)) == ("", "", "")


def test_every_state_of_a_case_is_a_word() -> None:
    assert {state for state in CaseState if state not in STATES} == set()
