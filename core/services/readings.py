"""What was read on an image's frames, sealed beside its original, so that the very same frames are not read a second time.

A reading depends on the frames alone, not on what is known of the patient: it is judged anew each time. It is found again
by a digest of every byte that the reader was given and of the reader itself; it goes when the case's files go."""

import json
from dataclasses import asdict
from hashlib import sha256
from typing import Final
from uuid import UUID

from core.deid.text_line import READER, Text
from core.deid.text_search import Picture, find_texts
from core.errors import NotFound, Refused
from core.node import SiteNode

KIND: Final = "texts"


def texts_of(node: SiteNode, image_id: UUID, picture: Picture) -> list[Text]:
    """The lines of text on the frames of an image; raises Refused for frames that do not decode."""
    digest = _digest(picture)
    known = _sealed(node, image_id, digest)
    if known is not None:
        return known
    texts = find_texts(node.reader, picture)
    body = {"digest": digest, "texts": [asdict(text) for text in texts]}
    node.staging.put(image_id, KIND, [json.dumps(body, ensure_ascii=False).encode()])
    return texts


def _sealed(node: SiteNode, image_id: UUID, digest: str) -> list[Text] | None:
    """An earlier reading of these frames; None where there is none or it is damaged: they are read anew."""
    try:
        with node.staging.open(image_id, KIND) as stream:
            body = json.loads(stream.read())
        if body["digest"] != digest:
            return None
        return [Text(one["frame"], tuple(one["box"]), one["words"], one["score"]) for one in body["texts"]]
    except (NotFound, Refused, ValueError, KeyError, TypeError):
        return None


def _digest(picture: Picture) -> str:
    """Of the reader, the format, the palette and every stored frame, each with its length before it."""
    colours, blobs = picture.colours
    whole = sha256(json.dumps([READER, asdict(picture.format), colours]).encode())
    for blob in blobs:
        whole.update(len(blob).to_bytes(8) + blob)
    for number in range(1, picture.format.frames + 1):
        frame = picture.frame_of(number)
        whole.update(len(frame).to_bytes(8) + frame)
    return whole.hexdigest()
