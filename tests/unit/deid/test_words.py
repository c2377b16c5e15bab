"""Descriptions: words of the list stay, all others vanish, and no word of the list is anybody's name."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from core.deid import verify, words
from core.deid.search import Search
from core.errors import Held
from ml.phantom_people import FAMILY, GIVEN_FEMALE, GIVEN_MALE, INSTITUTIONS

# Family and given names and places that could be taken for words of an examination.
NAMES = """Power Long Short Small Sax Shin Baker Morrison Douglas Cook Heart Head Hand Foot Chin Palm Lung Brain Arm Hip Legge
Brown Green White Black Grey Gray Young Old West North South East Best Gold Ray Lee May April June Rose Grace Faith Hope Joy
Wood Field Hill Lake River Church Bell Day Knight King Bishop Page Mark Bill Rob Will Art Max Sonny Echo-Smith Tee Tan Lin
Valentine Graves Burns Payne Blood Bone Skinner Stone Wells Fisher Doctor Murphy Glisson Oddi Down Turner Marfan Kawasaki
Tokyo Osaka Kyoto Nagoya Sapporo Fukuoka Kobe Hiroshima Sendai Chiba Nara Mie Gifu Boston Paris London Berlin
Sato Suzuki Takahashi Tanaka Ito Watanabe Yamamoto Nakamura Kobayashi Kato Abe Ono Ota Ueda Oda Kan Jin Kimura Mori""".split()
KANJI = """佐藤 鈴木 高橋 田中 伊藤 渡辺 山本 中村 小林 加藤 吉田 山田 佐々木 松本 井上 木村 林 斎藤 清水 森 阿部 池田 橋本 石川 左右田 上田
下田 右田 左近 肝付 胸永 首藤 頭川 足立 手塚 心 花子 太郎 一郎 陽子 東京 大阪 京都 千葉 奈良 三重 腹巻 胎中
長谷川 短田 頸城 動川 静 静子 静脈子 表 表田 腰原 皮""".split()


@pytest.mark.parametrize(
    ("given", "stays"),
    [
        ("US Abdomen Yamada", "US ABDOMEN"), ("Liver_RT (70012345)", "LIVER RT"), ("", ""), ("Yamada^Hanako", ""),
        ("腹部エコー 山田花子様", "腹部エコー"), ("山田肝臓", ""), ("US腹部", "US 腹部"), ("ｴｺｰ ＬＩＶＥＲ", "エコー LIVER"),
        ("左", ""), ("左腎臓", "左腎臓"), ("Carotid 19500102 2D 1234", "CAROTID 2D"), ("Müller liver", "LIVER"),
        ("M-Mode echo", "MODE ECHO"), ("ABDOMENYAMADA", ""), ("liver\\70012345", "LIVER"), ("LIVER" * 40, ""),
        ("liver " * 40, " ".join(["LIVER"] * 10)), ("肝臓や山田", ""), ("л и v e r", ""),
    ],
)  # fmt: skip
def test_what_stays(given: str, stays: str) -> None:
    assert words.kept(given) == stays


def test_words_of_the_patient_vanish() -> None:
    """Also one that is a name here, and words that are a name only together."""
    assert words.kept("Liver Echo Doppler", Search(["Doppler", "Smith"])) == "LIVER ECHO"
    assert words.kept("Abdomen liver", Search(["Abdo"])) == "LIVER"
    assert words.kept("liver echo", Search(["iverech"])) == ""
    assert words.kept("肝臓 超音波", Search(["音波"])) == "肝臓 超音波"  # two kanji are a whole word only


@given(st.text(max_size=80) | st.lists(st.sampled_from(sorted(words.allowed_words())), max_size=30).map("-".join))
def test_what_is_kept_is_made_of_the_list_and_stays_so(text: str) -> None:
    found = words.kept(text)
    assert len(found) <= words.LONGEST and words.kept(found) == found
    assert not any(word.isdecimal() for word in found.split())


def test_no_word_is_a_name_or_a_number() -> None:
    people = [name for entry in (*FAMILY, *GIVEN_FEMALE, *GIVEN_MALE) for name in entry]
    places = [word for entry in INSTITUTIONS for name in entry for word in name.split()]
    kept = {name for name in (*people, *NAMES, *KANJI) if words.kept(name) and "-" not in name}
    assert kept == set()
    assert not {word for word in places if words.kept(word)} - {"Univ"}
    listed = words.allowed_words()
    assert len(listed) > 300 and not any(word.isdecimal() for word in listed)
    assert all(len(word) > 1 or word in "左右肺腱像" for word in listed)
    assert all(word == word.upper() and words.kept(word) == (word if len(word) > 1 else "") for word in listed)


def test_in_the_file_at_the_top_level_alone(
    ultrasound: Dataset, part10: Callable[..., bytes], release_file: Callable[..., Any]
) -> None:
    ultrasound.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    ultrasound.StudyDescription, ultrasound.SeriesDescription = "US Abdomen Yamada", "腹部エコー 山田花子"
    ultrasound.ProtocolName = "Yamada 70012345"
    ultrasound.SequenceOfUltrasoundRegions[0].SeriesDescription = "US Abdomen"
    released = release_file(part10(ultrasound), needles=("Yamada", "山田", "花子", "70012345"))
    out = pydicom.dcmread(BytesIO(released.file))
    assert (out.StudyDescription, out.SeriesDescription, out.SpecificCharacterSet) == (
        "US ABDOMEN", "腹部エコー", "ISO_IR 192",
    )  # fmt: skip
    assert "ProtocolName" not in out and "SeriesDescription" not in out.SequenceOfUltrasoundRegions[0]
    verify.check_released(BytesIO(released.file), len(released.file), ("Yamada", "山田", "花子"))


@pytest.mark.parametrize("text", ["US Abdomen", "US ABDOMEN YAMADA", "US  ABDOMEN", "腹部 様", "70012345"])
def test_the_second_gate_reads_the_same_list(
    ultrasound: Dataset, part10: Callable[..., bytes], release_file: Callable[..., Any], text: str
) -> None:
    from core.deid.release import write_file

    released = release_file(part10(ultrasound))
    released.header.StudyDescription = text
    out = BytesIO()
    write_file(released.header, BytesIO(released.stream), released.index, out)
    with pytest.raises(Held, match="StudyDescription"):
        verify.check_released(out, len(out.getvalue()), ())


def test_what_would_stay_is_told(ultrasound: Dataset) -> None:
    ultrasound.StudyDescription, ultrasound.SeriesDescription = "US Abdomen for Yamada", "Yamada"
    told = words.descriptions(ultrasound, Search(["Yamada"]))
    assert [(one.keyword, one.text, one.left_out) for one in told] == [
        ("StudyDescription", "US ABDOMEN", 2), ("SeriesDescription", "", 1),
    ]  # fmt: skip
