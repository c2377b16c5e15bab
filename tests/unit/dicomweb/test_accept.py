"""What a client takes is read as it was meant."""

import pytest
from starlette.requests import Request

from api.dicomweb.accept import JSON_TYPES, accepted, best
from api.dicomweb.refusals import NotAcceptable


def request(*accept: str, query: str = "") -> Request:
    headers = [(b"accept", value.encode()) for value in accept]
    return Request({"type": "http", "method": "GET", "headers": headers, "query_string": query.encode()})


@pytest.mark.parametrize(
    "accept", [(), ("",), ("*/*",), ("application/*",), ("text/html, application/dicom+json;q=0.1",)]
)
def test_dicom_json_is_the_default(accept: tuple[str, ...]) -> None:
    assert best(request(*accept), JSON_TYPES) == "application/dicom+json"


def test_the_better_liked_wins_and_the_more_specific_rules() -> None:
    assert best(request("application/dicom+json;q=0.2, application/json"), JSON_TYPES) == "application/json"
    assert best(request("*/*;q=0.5, application/dicom+json;q=0"), JSON_TYPES) == "application/json"
    assert best(request("image/png"), ["image/jpeg", "image/png"]) == "image/png"
    assert best(request("image/png", query="accept=image/jpeg"), ["image/jpeg", "image/png"]) == "image/jpeg"


@pytest.mark.parametrize(
    "accept", ["image/png", "nonsense", "*/*;q=0", 'multipart/related; type="application/dicom+json"']
)
def test_what_cannot_be_given_is_refused(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        best(request(accept), JSON_TYPES)


def test_multipart_parts_and_parameters() -> None:
    header = (
        'multipart/related; type=image/jpeg; transfer-syntax=1.2, multipart/related; type="a/b,c;d";q=0.9, */*;q=0.1'
    )
    first, second, last = accepted(request(header))
    assert (first.part, first.transfer_syntax, first.is_wild) == ("image/jpeg", "1.2", False)
    assert second.part == "a/b,c;d" and second.quality == 0.9
    assert last.is_wild and last.part is None
    assert accepted(request("multipart/related"))[0].part == "*/*"
