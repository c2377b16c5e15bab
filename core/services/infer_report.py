"""What the model in effect says of a whole case, back to the PACS that it came from: SR and presentation states, when a person asks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from typing import Final
from uuid import UUID

from pydicom.dataset import Dataset
from sqlmodel import Session

from core import audit
from core.curation import linked, volumes
from core.curation.detector import ENDS, Found
from core.curation.shapes import open_spline
from core.deid.candidate import Index, frame_bytes
from core.dicom import results, results_ventricle
from core.dicom.part10 import open_part10
from core.errors import Malformed, Unavailable, WrongState
from core.inference.client import NO_MODEL
from core.models.curation import ImageMask
from core.models.registry import ModelVersion
from core.models.sitecase import ImageState, SiteImage
from core.node import SiteNode
from core.permissions import Actor, Verb, check
from core.queries import cases as queries
from core.services import heart, inference, learned, proposals, registry
from core.services.candidate import kind_of
from core.services.retrieve import open_peer

MOST_FRAMES: Final = 300
MOST_LESIONS: Final = 20


@dataclass(frozen=True)
class Sent:
    """How many objects went to the PACS, and how many lesions (of a heart: beats) and images they speak of."""

    objects: int
    lesions: int
    images: int
    model: str


def send(node: SiteNode, session: Session, actor: Actor, case_id: UUID) -> Sent:
    """Have the model look at the masked frames of every image of the case, and store what it says beside the originals.

    Nothing of it becomes a label. Raises WrongState where no image is here, Unavailable without a model or PACS."""
    case = queries.readable_case(session, actor, case_id)
    check(actor, Verb.CURATE, case.domain)
    masked = list(_masked(session, case_id))
    if not masked or case.purged_at is not None:
        raise WrongState("No image of this case is ready: its masks are not written yet, or it was purged.")
    if sum(image.frames for image, _ in masked) > MOST_FRAMES:
        raise Malformed("A case of more than 300 frames is not reported in one request.")
    model = registry.of_domain(session, case.domain)
    if model is None:
        raise Unavailable(NO_MODEL)
    objects: dict[str, list[bytes]] = {}
    found = 0
    for image, mask in masked:
        header = _header(node, image)
        count, made = _said(node, image, mask, model, case.domain, header)
        objects.setdefault(str(header.StudyInstanceUID), []).extend(map(_bytes, made))
        found += count
    with open_peer(node.settings, case.peer) as peer:
        for study_uid, files in objects.items():
            peer.store(study_uid, files)
    sent = Sent(sum(map(len, objects.values())), found, len(masked), _name(model))
    audit.record(
        session, actor, "infer.report", case_id, None, None, model=str(model.id), objects=sent.objects, found=found
    )
    return sent


def _said(
    node: SiteNode, image: SiteImage, mask: ImageMask, model: ModelVersion, domain: str, header: Dataset
) -> tuple[int, list[Dataset]]:
    """How many lesions or beats the model saw on an image, and the objects that say so."""
    speaker = results.Speaker(model.name, str(model.version))
    if model.task == "echo":
        beats = _beats(image, proposals.look(node, image, mask, learned.detector(node, model, domain)))
        report, drawn, count = (
            results_ventricle.report(header, beats, speaker),
            results_ventricle.drawn(beats),
            len(beats),
        )
    else:
        seen = _seen(node, image, mask, domain)
        report, drawn, count = results.report(header, seen, speaker), results.drawn(seen), len(seen)
    state = results.presentation(header, drawn, speaker)
    return count, [report] if state is None else [report, state]


def _beats(image: SiteImage, found: Sequence[Found]) -> list[results_ventricle.Beat]:
    """The beats whose borders a model drew, end diastole before end systole; a pair that holds no volume is left out."""
    beats = []
    for pair in pairwise(found):
        if (pair[0].label, pair[1].label) != ENDS:
            continue
        scales = [heart.scale_of(image, one.points) for one in pair]
        try:
            # EF needs no scale, millilitres do.
            planes = [
                volumes.plane_of(open_spline(one.points), scales[at] or (1.0, 1.0)) for at, one in enumerate(pair)
            ]
            whole = volumes.ejection(*map(volumes.disks_single_plane, planes))
        except Malformed:
            continue
        millilitres = (whole.end_diastolic_ml, whole.end_systolic_ml) if all(scales) else (None, None)
        diastole, systole = (
            results_ventricle.End(one.frame, one.points, one.score, ml)
            for one, ml in zip(pair, millilitres, strict=True)
        )
        beats.append(results_ventricle.Beat(diastole, systole, whole.fraction_percent))
    return beats


def _masked(session: Session, case_id: UUID) -> Iterator[tuple[SiteImage, ImageMask]]:
    """The images of the case whose candidate is written."""
    for image in queries.images_of(session, case_id):
        mask = queries.current_mask(session, image.id)
        if image.state == ImageState.STAGED and mask is not None and mask.digest:
            yield image, mask


def _seen(node: SiteNode, image: SiteImage, mask: ImageMask, domain: str) -> list[linked.Hit]:
    """Each lesion on its surest frame."""
    index = Index.of(mask.candidate)
    hits: list[linked.Hit] = []
    with node.staging.open(image.id, kind_of(mask.revision)) as reader:
        for number in range(1, image.frames + 1):
            stored = frame_bytes(reader, index, number - 1)
            pixels = inference.pixels_of_stored(node.sandbox, stored, index.format, index.palette)
            hits += linked.hits_of(number, inference.look(node, pixels, domain).boxes)
    return [linked.surest(one) for one in linked.lesions(hits)[:MOST_LESIONS]]


def _header(node: SiteNode, image: SiteImage) -> Dataset:
    """Of the original, as the PACS knows it: the results must lie beside it there."""
    with node.staging.open(image.id, "original") as reader:
        part10 = open_part10(reader, reader.size)
    part10.dataset.file_meta = part10.file_meta
    return part10.dataset


def _bytes(one: Dataset) -> bytes:
    out = BytesIO()
    one.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _name(model: ModelVersion) -> str:
    return f"{model.name} v{model.version}"
