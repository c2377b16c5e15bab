"""Parameters of pictures, fields of searches, and validators."""

from datetime import UTC, datetime
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from api.dicomweb import fields
from api.dicomweb.accept import accepted
from api.dicomweb.answers import Validators, etag
from api.dicomweb.frames import _LIST, _PATH, _named
from api.dicomweb.refusals import BadRequest
from api.dicomweb.rendered import viewport, window
from api.dicomweb.stow import NO_RESOURCES, Outcome, _media_uids
from core.dicom.query import parse


def test_windows() -> None:
    assert window("40,80,linear") == [40, 80] and window("-1.5,2") == [-1.5, 2]
    assert window("40,80,LINEAR-EXACT") == [40.5, 81]
    for wrong in ("", "1", "1,2,3,4", "a,2,linear", "1,0,linear", "1,0,linear-exact", "1,2,sigmoid", "nan,2", "1,1e99"):
        with pytest.raises(BadRequest):
            window(wrong)


def test_viewports() -> None:
    assert viewport("256,128", 800, 600) == {"size": [256, 128]}
    assert viewport("256,128,,,,", 800, 600) == {"size": [256, 128], "crop": [0, 0, 800, 600]}
    assert viewport("256,128,100,50,,20", 800, 600)["crop"] == [100, 50, 700, 20]
    for wrong in (
        "",
        "1",
        "0,1",
        "1,-1",
        "9000,1",
        "1,1,1",
        "1,1,0,0,801,1",
        "1,1,-1,0,1,1",
        "1,1,0,0,0,1",
        "1,1,a,,,",
    ):
        with pytest.raises(BadRequest):
            viewport(wrong, 800, 600)


def test_levels_and_fields_of_an_answer() -> None:
    assert fields.levels_of("instance", False, False) == ("study", "series", "instance")
    assert fields.levels_of("instance", True, False) == ("series", "instance")
    assert fields.levels_of("series", True, False) == ("series",)
    study = parse("study", [("includefield", "00081030,00080060"), ("includefield", "PatientAge")])
    assert fields.wanted(study, ("study",)) == {"00101010"}
    assert fields.wanted(parse("study", [("includefield", "all")]), ("study",)) is None
    held: dict[str, Any] = {tag: {"vr": "LO"} for tag in ("00101010", "00180015", "00280010", "7FE00010")}
    assert set(fields.pick(held, None, "study")) == {"00101010"}
    assert set(fields.pick(held, None, "series")) == {"00101010", "00180015"}
    assert set(fields.pick(held, None, "instance")) == {"00101010", "00180015", "00280010"}


@pytest.mark.parametrize(
    ("accept", "syntax", "expected"),
    [
        ("*/*", "4.50", ("image/jpeg", True)),
        ('multipart/related; type="*/*"', "5", ("image/dicom-rle", True)),
        ("multipart/related; type=image/jpeg", "4.70", ("image/jpeg", True)),
        ("multipart/related; type=image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.70", "4.50", None),
        ("multipart/related; type=image/jp2", "4.50", None),
        ("multipart/related; type=application/octet-stream", "4.50", ("application/octet-stream", False)),
        (
            "multipart/related; type=application/octet-stream; transfer-syntax=*",
            "4.50",
            ("application/octet-stream", True),
        ),
        ("application/octet-stream", "4.106", None),
        ("application/octet-stream", "4.102", ("application/octet-stream", False)),
        ("multipart/related; type=video/mp4", "4.102", None),
        ("application/octet-stream", "1", ("application/octet-stream", False)),
        ("image/*", "1", None),
    ],
)
def test_media_types_of_frames(accept: str, syntax: str, expected: tuple[str, bool] | None) -> None:
    stored: Any = SimpleNamespace(transfer_syntax=f"1.2.840.10008.1.2.{syntax}")
    assert _named(accepted(conditional(accept=accept))[0], stored) == expected


def test_lists_and_paths() -> None:
    assert all(_LIST.fullmatch(text) for text in ("1", "1,2", "10,1")) and not any(
        _LIST.fullmatch(text) for text in ("", "0", "01", "1,", "1, 2", "１")
    )
    assert (
        _PATH.fullmatch("00400275/0/00091001")
        and not _PATH.fullmatch("../secret")
        and not _PATH.fullmatch("00400275/0")
    )


def conditional(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "headers": raw, "query_string": b""})


def test_validators() -> None:
    changed = datetime(2024, 1, 31, 9, 15, 0, 123, tzinfo=UTC)
    made = Validators(etag("a"), changed)
    tag = made.headers["ETag"]
    assert made.headers["Last-Modified"] == "Wed, 31 Jan 2024 09:15:00 GMT"
    for same in (tag, tag.removeprefix("W/"), f'"x", {tag}', "*"):
        answer = made.not_modified(conditional(if_none_match=same))
        assert answer is not None and answer.status_code == 304 and answer.headers["etag"] == tag
    assert made.not_modified(conditional(if_none_match='"x"', if_modified_since=made.headers["Last-Modified"])) is None
    assert made.not_modified(conditional(if_modified_since=made.headers["Last-Modified"])) is not None
    for other in ("Wed, 31 Jan 2024 09:14:59 GMT", "yesterday", ""):
        assert made.not_modified(conditional(if_modified_since=other)) is None
    assert etag("a", "b") != etag("ab")


def test_the_status_of_a_store() -> None:
    outcome = Outcome(failed=[("1", "2", NO_RESOURCES)])
    assert outcome.status == 503
    outcome.fail(None, 0xC000)
    assert outcome.status == 409
    outcome.stored.append(("1", "2", "3", "4"))
    assert outcome.status == 202
    assert Outcome(stored=[("1", "2", "3", "4")]).status == 200


def test_a_refused_file_is_named_by_its_meta_information() -> None:
    named = b"\0" * 128 + b"DICM" + b"\x02\x00\x02\x00UI\x04\x001.2\0" + b"\x02\x00\x03\x00UI\x06\x001.2.34"
    assert _media_uids(BytesIO(named)) == ("1.2", "1.2.34")
    assert _media_uids(BytesIO(b"garbage")) is None
