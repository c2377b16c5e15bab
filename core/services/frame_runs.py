"""Several frames of a candidate in one answer, for a page that plays a cine: as they are stored where a browser reads that."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlmodel import Session

from core import audit
from core.deid.candidate import Index, frame_bytes
from core.models.sitecase import SiteImage
from core.node import SiteNode
from core.permissions import Actor
from core.services import masks
from core.services.candidate import kind_of

MOST_FRAMES: Final = 32
MOST_BYTES: Final = 16 * 1024 * 1024
_JPEG_BASELINE: Final = "1.2.840.10008.1.2.4.50"
# PS3.5 8.2.1: what a JPEG decoder makes of three components without an APPn segment, and of one.
_AS_A_BROWSER_READS: Final = {("YBR_FULL_422", 3), ("YBR_FULL", 3), ("MONOCHROME2", 1)}


@dataclass(frozen=True)
class FrameRun:
    """Pictures of the frames `first`, `first + 1` ...; all of one media type, of the candidate with this digest."""

    first: int
    pictures: tuple[bytes, ...]
    media_type: str
    digest: str


def frame_run(node: SiteNode, session: Session, actor: Actor, image_id: UUID, first: int, count: int) -> FrameRun:
    """`run_of` for an image of a case that this person may see; it remembers that the frames were given, not shown."""
    image, mask = masks.seen_candidate(session, actor, image_id, first)
    run = run_of(node, session, actor, image, first, count)
    masks.remember(session, actor, mask, range(first, first + len(run.pictures)), is_shown=False)
    return run


def run_of(node: SiteNode, session: Session, actor: Actor, image: SiteImage, first: int, count: int) -> FrameRun:
    """At most `count` frames from `first` on, fewer where they would be large, for who may see this image.

    Baseline JPEG goes as it is stored: the very bytes that leave, and no decoding here. Everything else is decoded in the
    sandbox and sent as PNG. Raises WrongState while the candidate is not ready, Malformed for frames that are not there."""
    mask = masks.candidate_of(session, actor, image, first)
    index = Index.of(mask.candidate)
    last = min(first + min(max(count, 1), MOST_FRAMES) - 1, image.frames)
    is_as_stored = is_readable(index)
    pictures: list[bytes] = []
    with node.staging.open(image.id, kind_of(mask.revision)) as reader:
        for frame in range(first, last + 1):
            stored = frame_bytes(reader, index, frame - 1)
            pictures.append(stored if is_as_stored else masks.rendered(node, index, stored))
            if sum(map(len, pictures)) > MOST_BYTES:
                break
    audit.record_read(session, actor, "candidate.read", image.id)
    return FrameRun(first, tuple(pictures), "image/jpeg" if is_as_stored else "image/png", mask.digest or "")


def is_readable(index: Index) -> bool:
    """Whether every browser decodes the stored frames to the same picture as we do."""
    fmt = index.format
    return (
        fmt.transfer_syntax == _JPEG_BASELINE
        and fmt.bits_stored == 8
        and index.palette is None
        and (fmt.photometric, fmt.samples) in _AS_A_BROWSER_READS
    )
