"""The table from NEMA's DocBook: read as it is written there, and refused where it is not what it should be."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from typer.testing import CliRunner

from commands.admin import app
from commands.annex_e import compared, read_table
from core.deid.profile import annex_e_file
from core.errors import Malformed

HEADING = ("Attribute Name", "Tag", "Retd. (from PS3.6)", "In Std. Comp. IOD (from PS3.3)", "Basic Prof.", "Rtn. Safe Priv. Opt.",
           "Rtn. UIDs Opt.", "Rtn. Dev. Id. Opt.", "Rtn. Inst. Id. Opt.", "Rtn. Pat. Chars. Opt.",
           "Rtn. Long. Full Dates Opt.", "Rtn. Long. Modif. Dates Opt.", "Clean Desc. Opt.", "Clean Struct. Cont. Opt.",
           "Clean Graph. Opt.")  # fmt: skip
ROWS = (
    ("Accession Number", "(0008,0050)", "N", "Y", "Z", *[""] * 10),
    ("Acquisition Date", "(0008,0022)", "N", "Y", "X/Z", "", "", "", "", "", "K", "C", "", "", ""),
    ("Curve Data", "(50xx,xxxx)", "Y", "N", "X", *[""] * 9, "C"),
    ("Patient's Age", "(0010,1010)", "N", "Y", "X", "", "", "", "", "K", "", "", "", "", ""),
    ("Private Attributes", "(gggg,eeee) where gggg is odd", "", "N", "X", "C", *[""] * 9),
    ("Study Description", "(0008,1030)", "N", "Y", "X", *[""] * 7, "C", "", ""),
    ("Referenced Image Sequence", "(0008,1140)", "N", "Y", "X/Z/U*", "", "K", *[""] * 8),
)
Make = Callable[..., bytes]


def document(
    rows: tuple[tuple[str, ...], ...] = ROWS, heading: tuple[str, ...] = HEADING, top: str = "", label: str = "E.1-1"
) -> bytes:
    def line(cells: tuple[str, ...], tag: str) -> str:
        inner = "".join(f'<{tag} align="left" colspan="1" rowspan="1"><para>{cell}</para></{tag}>' for cell in cells)
        return f"<tr>{inner}</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f"""<?xml version="1.0" encoding="utf-8"?>{top}
<book xmlns="http://docbook.org/ns/docbook" label="PS3.15"><title>PS3.15</title>
<subtitle>DICOM PS3.15 2024b - Security and System Management Profiles</subtitle>
<chapter label="E"><title>Attribute Confidentiality Profiles</title>
<table label="E.1-1a"><thead><tr><th>Action Code</th></tr></thead><tbody><tr><td>D</td></tr></tbody></table>
<table label="{label}" frame="box"><caption>Application Level Confidentiality Profile Attributes</caption>
<thead>{line(heading, "th")}</thead><tbody>{body}</tbody></table></chapter></book>""".encode()


def test_rows_are_those_of_the_shipped_table() -> None:
    """Each of these rows stands in the shipped file too, letter by letter."""
    edition, rows = read_table(BytesIO(document()))
    shipped = {row["tag"]: row for row in json.loads(annex_e_file().read_text(encoding="utf-8"))}
    assert edition == "2024b" and len(rows) == len(ROWS)
    assert [row for row in rows if row != shipped[row["tag"]]] == []


def test_the_table_is_found_by_its_id_too() -> None:
    data = document().replace(b'label="E.1-1" frame', b'xml:id="table_E.1-1" frame')
    data = data.replace(b"Curve Data", "Curve \u200bData".encode())  # the document breaks long names with these
    assert read_table(BytesIO(data)) == read_table(BytesIO(document()))


def test_what_differs_is_said() -> None:
    _, rows = read_table(BytesIO(document()))
    old = [dict(row) for row in rows]
    assert compared(old, rows) == ["the same rows and actions as ps3_15_annex_e_2024b.json"]
    gone = old.pop(0)
    old[0]["basicProfile"] = "D"
    old.append({"tag": "(0010,0010)", "name": "Patient's Name", "basicProfile": "Z"})
    assert compared(old, rows) == [
        f"new: {gone['tag']} {gone['name']} Z", "gone: (0010,0010) Patient's Name",
        "changed: (0008,0022) basicProfile D -> X/Z",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (document(top='<!DOCTYPE book [<!ENTITY a "b">]>'), "document type"),
        (document(top='<!DOCTYPE book SYSTEM "file:///etc/passwd">'), "document type"),
        (document(label="E.1-2"), "no table"), (document()[:900], "well-formed"), (b"", "well-formed"),
        (document(heading=HEADING[:-1], rows=()), "cleanGraphOpt"), (document(rows=()), "none at all"),
        (document(rows=(*ROWS, ROWS[0])), "twice"), (document(rows=(ROWS[0][:-1],)), "another number"),
        (document(rows=(("A", "(0008,00)", *ROWS[0][2:]),)), "understood"),
        (document(rows=(("A", "(0008,0051)", "N", "Y", "remove", *[""] * 10),)), "understood"),
        (document().replace(b'<td align="left" colspan="1"', b'<td align="left" colspan="2"'), "spans"),
    ],
)  # fmt: skip
def test_other_files_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        read_table(BytesIO(data))


def test_a_file_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("commands.annex_e.MOST_BYTES", 100)
    with pytest.raises(Malformed, match="64 MiB"):
        read_table(BytesIO(document()))


def test_the_verb_writes_a_new_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONOBANK_CALLER_CWD", str(tmp_path))
    (tmp_path / "part15.xml").write_bytes(document())
    done = CliRunner().invoke(app, ["annex-e", "part15.xml", "out.json"])
    assert done.exit_code == 0, done.output
    assert "edition 2024b: 7 rows written to out.json" in done.output and "gone: (0018,4000)" in done.output
    assert len(json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))) == 7
    again = CliRunner().invoke(app, ["annex-e", "part15.xml", "out.json"])
    assert again.exit_code != 0 and "exists already" in str(again.exception)
    assert "no such file" in str(CliRunner().invoke(app, ["annex-e", "part16.xml", "out2.json"]).exception)
