"""One chart ID however it is written; what cannot be read is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Refused
from core.vault.normalise import ChartIdRule, plain_name

RULE = ChartIdRule(width=8)


@pytest.mark.parametrize(
    "written",
    [
        "123456",
        "00123456",
        "0000123456",
        "12-34-56",
        "12 34 56",
        "１２３４５６",
        "１２ー３４－５６",
        "12‐34−56",
        "\u200b123456\0",
        "12.34/56",
    ],
)
def test_ways_to_write_one_number(written: str) -> None:
    assert RULE.normalise(written) == "00123456"


@given(st.from_regex(r"[A-Za-z0-9]{1,8}", fullmatch=True), st.data())
def test_separators_width_case_and_zeros_change_nothing(number: str, data: st.DataObject) -> None:
    if not number.strip("0"):
        return
    signs = [data.draw(st.sampled_from(["", "-", " ", "　", "ー", "."])) + sign for sign in number]
    wide = "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in "".join(signs))
    expected = RULE.normalise(number)
    assert RULE.normalise("".join(signs)) == RULE.normalise(wide) == RULE.normalise(number.lower()) == expected
    assert RULE.normalise(expected) == expected
    assert len(expected) == 8


@given(st.text(max_size=80))
def test_any_text_is_normalised_or_refused(text: str) -> None:
    try:
        number = RULE.normalise(text)
    except Refused as refusal:
        assert not text.strip() or len(text.strip()) < 3 or text not in refusal.message
    else:
        assert number.isascii() and number.isalnum() and len(number) == 8 and number == number.upper()


@pytest.mark.parametrize(
    "written", ["", " ", "-", "0", "000000", "123456789", "12|34", "患者1", "1\x072", "ß", "ı", "٣٤", "1" * 65]
)
def test_what_cannot_be_read_is_refused(written: str) -> None:
    with pytest.raises(Refused) as caught:
        RULE.normalise(written)
    assert len(written) < 3 or written not in caught.value.message


def test_without_a_width_zeros_count() -> None:
    rule = ChartIdRule()
    assert rule.normalise("0012-a") == "0012A"
    assert rule.normalise("12A") != rule.normalise("0012A")


def test_another_hospitals_ids_are_refused() -> None:
    rule = ChartIdRule(width=8, issuer="Sono Hospital", issuer_aliases=("SONOHP",))
    for issuer in (None, "", "SONO HOSPITAL", " sono hospital\0", "ＳＯＮＯＨＰ"):
        assert rule.index_parts("1", issuer) == ("SONO HOSPITAL", "00000001")
    with pytest.raises(Refused, match="another hospital"):
        rule.normalise("1", "OTHER")
    assert ChartIdRule(width=8).normalise("1", "ANYBODY") == "00000001"


def test_a_rule_is_named_by_its_contents() -> None:
    rules = [ChartIdRule(), ChartIdRule(version=2), ChartIdRule(width=8), ChartIdRule(issuer="A")]
    assert len({rule.stamp for rule in rules}) == 4
    assert ChartIdRule(issuer="a").stamp == ChartIdRule(issuer="A").stamp
    assert ChartIdRule(version=2).stamp.startswith("2:")


def test_names_are_compared_without_width_case_and_kana() -> None:
    assert plain_name("YAMADA^Hanako=山田^花子=やまだ^はなこ") == "yamada hanako 山田 花子 ヤマダ ハナコ"
    assert plain_name("ﾔﾏﾀﾞ　ﾊﾅｺ") == "ヤマダ ハナコ"
