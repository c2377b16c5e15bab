"""The spellings of identifying values, and the moment at which a study began."""

from datetime import datetime

import pytest

from core.ids import outward_id
from core.vault.identity import Identity, InstanceIdentityIn, Link
from core.vault.moments import first_moment
from core.vault.needles import spell


def test_names_and_dates_are_spelt_in_every_way() -> None:
    assert spell(["YAMADA^HANAKO^^DR", None, ""]) == ("YAMADA^HANAKO^^DR", "YAMADA HANAKO DR", "HANAKO", "YAMADA", "DR")
    assert set(spell(["1963/02/17"])) == {"19630217", "1963-02-17", "1963/02/17", "1963.02.17"}
    assert spell(["20249999"]) == ("20249999",)
    assert spell(["A", "7", "林", " \0"]) == ("林",)


def test_lists_and_tables_are_walked_and_times_left_out() -> None:
    values = {
        "names": ("SATO", ["ITO"]),
        "study_time": "120000",
        "StudyTime": "130000",
        "AcquisitionDateTime": "2024x",
        "n": 5,
    }
    assert spell([values]) == ("2024x", "SATO", "ITO")


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], None),
        ([{"study_date": None, "study_time": "1"}], None),
        ([{"birth_date": "19630217", "birth_time": "1200", "PatientBirthDate": "19630217"}], None),
        ([{"study_date": "20240509"}], datetime(2024, 5, 9, 12)),
        ([{"study_date": "20240509", "study_time": "0945"}, {"study_date": "20240508"}], datetime(2024, 5, 9, 9, 45)),
        ([{"StudyDate": "2024.05.09", "StudyTime": "09:45:12.25"}], datetime(2024, 5, 9, 9, 45, 12, 250000)),
        ([{"study_date": "20240230"}, {"study_date": "20240509", "study_time": "996199"}], datetime(2024, 5, 9, 12)),
    ],
)
def test_the_first_moment(records: list[dict[str, object]], expected: datetime | None) -> None:
    assert first_moment(records) == expected


def test_values_do_not_show_themselves() -> None:
    shown = repr([Identity("CHART77", names=("YAMADA",)), InstanceIdentityIn("1.2.77", "1.2")])
    shown += repr(Link(outward_id(), outward_id(), -35, b"SECRET"))
    assert not [value for value in ("CHART77", "YAMADA", "1.2.77", "SECRET", "-35") if value in shown]
