"""The contract takes what it should, says where it is broken, and has no room for free text or a time."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from core.errors import Refused
from core.package import contract
from core.package.contract import CaseRecord, Keyframe, Point
from tests.factories.packages import make_file, make_image, make_record, make_roi, make_uid

SECRET = "YAMADA^TARO 1961-02-03"


def changed(path: str, value: object) -> bytes:
    """A valid record's canonical bytes with one place changed; `path` as in `images.0.rows`."""
    plain = json.loads(contract.write(make_record()))
    *parents, last = path.split(".")
    place: Any = plain
    for part in parents:
        place = place[int(part)] if isinstance(place, list) else place[part]
    place[int(last) if isinstance(place, list) else last] = value
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode("ascii")


def test_a_record_comes_back_as_it_went() -> None:
    record = make_record()
    assert contract.parse(contract.write(record)) == record


def test_canonical_bytes_do_not_depend_on_the_order_of_answers() -> None:
    record = make_record()
    turned = record.model_copy(update={"values": dict(reversed(record.values.items()))})
    assert contract.write(turned) == contract.write(record)


def test_every_code_is_listed_for_the_vocabulary() -> None:
    assert {("diagnosis", "LIV-HCC"), ("label", "LIV-HCC"), ("basis", "MR"), ("image_mode", "399009009")} == {
        pair for pair in contract.coded(make_record()) if pair != ("basis", "DX-HIST-SURG")
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("site", SECRET),
        ("site", "KYOTO01\n"),
        ("site", "ＫＹＯＴＯ０１"),
        ("site", "KY\u200bOTO01"),
        ("site", "KYOTО01"),  # the last O is Cyrillic
        ("age_years", 91),
        ("age_years", 63.0),
        ("age_years", "63"),
        ("age_years", True),
        ("age_years", 10**400),
        ("height_m", 1e308),
        ("case_version", 0),
        ("contract_version", 2),
        ("sex", "f"),
        ("domain", "Liver"),
        ("basis", []),
        ("basis", ["MR", "MR"]),
        ("basis.0", "seen by Dr Yamada"),
        ("package_id", "f99d224e-e74a-11f1-a44f-02fc00000001"),
        ("package_id", "00000000-0000-4000-0000-000000000000"),
        ("values.diagnosis.codes.0", SECRET),
        ("values.diagnosis.source", "Dr Yamada"),
        ("values.size_long_mm.unit", "Yamada"),
        ("values.size_long_mm.value", 20240503.0),
        ("values.heart_rate.value", 20240503),
        ("values.heart_rate.kind", "text"),
        ("images", []),
        ("images.0.study_uid", "1.2.840.113619.2.1"),
        ("images.0.study_uid", f"2.25.{2**128}"),
        ("images.0.study_uid", "2.25.01"),
        ("images.0.sop_class_uid", "2.25.5"),
        ("images.0.sha256", "A" * 64),
        ("images.0.size", 0),
        ("images.0.rows", 0),
        ("images.0.mask.rects", [[600, 0, 41, 10]]),
        ("images.0.device.model", "LOGIQ E9; 山田"),
        ("images.0.device.software", ["built 2012-02-23"]),
        ("images.0.device.software", ["20120223"]),
        ("images.0.device.transducer", ["453561454581"]),
        ("rois.0.frame", 0),
        ("rois.0.frame", 4),
        ("rois.0.x", 600.0),
        ("rois.0.y", -1.0),
        ("rois.0.centre_px", {"x": 300.0, "y": 221.0}),
        ("rois.0.image_id", "6d13a306-5b2a-47f8-8934-12237b085ca9"),
        ("rois.0.drawn_by", "Dr Yamada"),
        ("rois.0.shape", "polygon"),
        ("rois.0.label", SECRET),
    ],
)
def test_what_breaks_the_contract_is_refused_without_its_value(path: str, value: object) -> None:
    with pytest.raises(Refused) as refusal:
        contract.parse(changed(path, value))
    assert path.split(".")[0] in refusal.value.message
    assert "amada" not in refusal.value.message and "2024" not in refusal.value.message
    assert refusal.value.__suppress_context__


def test_unknown_keys_are_refused_and_never_named() -> None:
    for path in (SECRET, f"images.0.{SECRET}", f"values.{SECRET}"):
        with pytest.raises(Refused) as refusal:
            contract.parse(changed(path, {"kind": "boolean", "value": True, "source": "manual"}))
        assert "*" in refusal.value.message and "YAMADA" not in refusal.value.message


def test_an_error_at_the_site_does_not_carry_its_input() -> None:
    with pytest.raises(ValidationError) as error:
        make_record(domain=SECRET)
    assert SECRET not in str(error.value)


def test_a_record_built_from_facts_names_no_unknown_key() -> None:
    facts = {field: getattr(RECORD, field) for field in CaseRecord.model_fields}
    assert contract.build(facts) == RECORD
    with pytest.raises(Refused) as refusal:
        contract.build(facts | {"values": {SECRET: {"kind": "boolean"}}, SECRET: 1})
    assert "values" in refusal.value.message and "YAMADA" not in refusal.value.message


def test_a_device_text_that_is_no_token_does_not_leave() -> None:
    assert contract.token_or_none("LOGIQ E9") == "LOGIQ E9"
    for text in (None, "", 9, "山田", "built 2012-02-23", "453561454581__OS"):
        assert contract.token_or_none(text) is None


def test_repeated_images_rois_and_split_series_are_refused() -> None:
    image = make_image()
    roi = make_roi(image)
    twin = make_image(image_id=image.image_id)
    sibling = make_image(series_uid=image.series_uid, study_uid=make_uid())
    same_sop = make_image(sop_instance_uid=image.sop_instance_uid)
    same_file = make_image(sha256=image.sha256)
    for images in ((image, twin), (image, sibling), (image, same_sop), (image, same_file)):
        with pytest.raises(ValidationError, match="images"):
            make_record(images=images)
    with pytest.raises(ValidationError, match="roi_id"):
        make_record(images=(image,), rois=(roi, roi))


def test_a_roi_under_the_mask_or_in_mm_without_a_scale_is_refused() -> None:
    image = make_image()
    hidden = make_roi(image, y=0.0, centre_px=Point(x=130.0, y=20.5))
    with pytest.raises(ValidationError, match="under the mask"):
        make_record(images=(image,), rois=(hidden,))
    bare = make_image(mm_per_px=None)
    with pytest.raises(ValidationError, match="no scale"):
        make_record(images=(bare,), rois=(make_roi(bare),))
    make_record(images=(bare,), rois=(make_roi(bare, centre_mm=None),))


def a_track(**changes: Any) -> dict[str, Any]:
    """An ellipse on frames 1 and 3 of three, whose first box is that of `make_roi`."""
    first = ((130.0, 221.0), (160.0, 221.0), (130.0, 241.5))
    later = ((140.0, 230.0), (170.0, 230.0), (140.0, 250.5))
    keyframes = (Keyframe(frame=1, points=first), Keyframe(frame=3, points=later))
    return {"shape": "ellipse", "keyframes": keyframes, "out_of_view": ((2, 2),)} | changes


def keyframe(frame: int, *points: tuple[float, float]) -> Keyframe:
    return Keyframe(frame=frame, points=points)


def test_a_track_travels_and_comes_back() -> None:
    image = make_image(make_file(3), frames=3)
    record = make_record(images=(image,), rois=(make_roi(image, **a_track()),))
    data = contract.write(record)
    assert contract.parse(data) == record and b'"out_of_view":[[2,2]]' in data
    assert record.rois[0].track().frames == [1, 3]


def test_what_came_before_tracks_is_still_its_own_one_form() -> None:
    data = contract.write(make_record())
    assert b"keyframes" not in data and b"out_of_view" not in data
    for empty in (b'"keyframes":[],', b'"keyframes":null,'):
        with pytest.raises(Refused):
            contract.parse(data.replace(b'"label":', empty + b'"label":', 1))


FAR = (600.0, 221.0), (660.0, 221.0), (600.0, 241.5)
HIDDEN = (130.0, 30.0), (160.0, 30.0), (130.0, 50.5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (a_track(keyframes=()), "only a rectangle"),
        ({"out_of_view": ((2, 2),)}, "only a rectangle"),
        (a_track(shape="rectangle"), "not a track"),
        (a_track(out_of_view=((1, 2),)), "not a track"),
        (a_track(out_of_view=((2, 2), (5, 9))), "fewer frames"),
        (a_track(keyframes=(*a_track()["keyframes"], keyframe(4, *FAR))), "fewer frames"),
        (a_track(keyframes=(*a_track()["keyframes"][:1], keyframe(3, *FAR))), "outside"),
        (a_track(keyframes=(*a_track()["keyframes"][:1], keyframe(3, *HIDDEN))), "under the mask"),
        (a_track(keyframes=a_track()["keyframes"][1:], out_of_view=()), "first keyframe"),
        (a_track(keyframes=tuple(reversed(a_track()["keyframes"]))), "not a track"),
        (a_track(shape="polygon", keyframes=tuple(keyframe(n, *FAR * 166) for n in range(1, 42))), "more points"),
    ],
)
def test_a_track_that_does_not_hold_together_is_refused(changes: dict[str, Any], said: str) -> None:
    image = make_image(make_file(3), frames=3)
    with pytest.raises(ValidationError, match=said):
        make_record(images=(image,), rois=(make_roi(image, **changes),))


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": "line"},
        {"keyframes": [keyframe(1, (1.0, 1.0), (2.0, 2.0))] * 2001},
        {"keyframes": ({"frame": 1, "points": ((1.0, 1.0),) * 501},)},
        {"keyframes": ({"frame": 1, "points": ((-1.0, 1.0), (2.0, 2.0))},)},
        {"keyframes": ({"frame": 1, "points": ((1.0, 1.0), (2.0, 2.0)), "note": SECRET},)},
        {"out_of_view": ((0, 1),)},
    ],
)
def test_a_track_has_bounds_and_no_room_for_words(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as error:
        make_roi(make_image(), **changes)
    assert "YAMADA" not in str(error.value)


def test_a_copy_that_skipped_validation_is_not_written() -> None:
    forged = make_record().model_copy(update={"domain": SECRET})
    with pytest.raises(Refused, match="domain"):
        contract.write(forged)


@pytest.mark.parametrize(
    "turn",
    [
        lambda data: data.replace(b'"sex":"F"', b'"sex":"M","sex":"F"'),
        lambda data: data.replace(b":", b": ", 1),
        lambda data: data.replace(b"52.5", b"5.25e1"),
        lambda data: data.replace(b"52.5", b"52.50"),
        lambda data: data.replace(b'"x":100.0', b'"x":100'),
        lambda data: data.replace(b'"liver"', b'"\\u006civer"'),
        lambda data: data.replace(b"52.5", b"NaN"),
        lambda data: data.replace(b"52.5", b"Infinity"),
        lambda data: data.replace(b'"age_years":63', b'"age_years":-0'),
        lambda data: data.replace(b'"age_years":63', b'"age_years":' + b"9" * 1_000_000),
        lambda data: data + b"\n",
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b'"liver"', b'"\xff"'),
        lambda data: data.replace(b'"liver"', b'"\\ud800"'),
        lambda data: b"[" * 200_000,
        lambda data: b'{"values":' * 100_000,
        lambda data: b"",
        lambda data: b"null",
    ],
)
def test_any_other_spelling_is_refused(turn: Callable[[bytes], bytes]) -> None:
    data = contract.write(make_record())
    assert turn(data) != data
    with pytest.raises(Refused):
        contract.parse(turn(data))


def test_an_endless_record_is_refused_before_it_is_read() -> None:
    with pytest.raises(Refused, match="larger"):
        contract.parse(b" " * (contract.MOST_RECORD_BYTES + 1))


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_any_changed_byte_is_refused_or_another_valid_canonical_record(data: st.DataObject) -> None:
    body = bytearray(contract.write(RECORD))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] = data.draw(st.integers(0, 255))
    try:
        record = contract.parse(bytes(body))
    except Refused:
        return
    assert contract.write(record) == bytes(body)


RECORD = make_record()


def nodes(schema: object) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for part in schema.values():
            yield from nodes(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from nodes(part)


def test_no_text_without_a_pattern_and_no_time_in_the_schema() -> None:
    strings = 0
    for node in nodes(CaseRecord.model_json_schema()):
        if node.get("type") == "string":
            strings += 1
            closed = "enum" in node or "const" in node
            assert closed or (node["pattern"].startswith("^") and node["pattern"].endswith("$")), node
            assert "format" not in node, node
        if node.get("type") == "object":
            assert node.get("additionalProperties") is False or "propertyNames" in node or node.get("patternProperties")
    assert strings > 40


def test_no_pattern_lets_a_name_or_a_line_through() -> None:
    patterns = {node["pattern"] for node in nodes(CaseRecord.model_json_schema()) if "pattern" in node}
    for pattern in patterns:
        for text in ("山田太郎", "YAMADA^TARO", "a\nb", "a@b.jp", "", 'Dr. Yamada said: "cyst"'):
            assert not re.fullmatch(pattern, text), pattern


def test_every_field_that_is_not_a_closed_type_is_bounded() -> None:
    for node in nodes(CaseRecord.model_json_schema()):
        if node.get("type") in ("integer", "number") and "const" not in node:
            assert {"maximum", "exclusiveMaximum"} & set(node) and {"minimum", "exclusiveMinimum"} & set(node), node
        if node.get("type") == "array":
            assert "maxItems" in node, node


def test_ids_are_uuid_objects() -> None:
    assert isinstance(contract.parse(contract.write(RECORD)).research_id, UUID)
