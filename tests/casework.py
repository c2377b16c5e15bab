"""A case taken through the site's own services in this process, as its people and workers would take it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from PIL import Image, ImageDraw
from sqlmodel import col, select

from commands.demo_answers import answers_for
from core.db import reading, transaction
from core.models.curation import ImageMask, Roi
from core.models.sitecase import CaseState, SiteCase, SiteImage
from core.models.transfer import Package, PackagedImage
from core.node import SiteNode
from core.permissions import Actor
from core.queries import cases as queries
from core.services import curation, masks, registering, release, send
from ml.phantom import PhantomInstance, PhantomStudy, make_study, to_bytes
from ml.phantom_screens import font
from tests.pacs_twin import BadPacs
from tests.sites import case_of, flag, images, pull


@dataclass
class Case:
    """One flagged study at a site, with what the generator knows of it."""

    node: SiteNode
    actor: Actor
    id: UUID
    study: PhantomStudy
    lesion: UUID = field(default_factory=uuid4)

    @property
    def row(self) -> SiteCase:
        return case_of(self.node, self.id)

    def images(self) -> list[SiteImage]:
        return images(self.node, self.id)

    def instance_of(self, image: SiteImage) -> PhantomInstance:
        """The generated instance that this image was pulled from."""
        known = {self.node.vault.has_instance(self.id, str(i.dataset.SOPInstanceUID)): i for i in self.study.instances}
        return known[image.id]

    def mask(self, image: SiteImage) -> ImageMask:
        with reading(self.node.engine) as session:
            found = queries.current_mask(session, image.id)
        assert found is not None
        return found

    def answer(self, **changes: object) -> None:
        """The form, with the generator's truth."""
        values: Mapping[str, Any] = answers_for(self.study.domain, self.study.instances[0].truth) | changes
        with transaction(self.node.engine, "test") as session:
            _, version = curation.present_form(session, session.get_one(SiteCase, self.id))
            curation.save_form(session, self.actor, self.id, values, version)

    def pick(self) -> None:
        for image in self.images():
            with transaction(self.node.engine, "test") as session:
                curation.pick(session, self.actor, image.id, True, None, 0)

    def draw(self) -> None:
        """One ROI on each image that shows the lesion."""
        for image in self.images():
            truth = self.instance_of(image).truth
            found = next(((frame, box) for frame, box in enumerate(truth.boxes, 1) if box is not None), None)
            if found is not None:
                self.draw_box(image, found[0], *found[1], label=truth.code)

    def draw_box(
        self, image: SiteImage, frame: int, x: float, y: float, width: float, height: float, label: str = "LIV-HCC"
    ) -> Roi:
        roi = Roi(
            image_id=image.id,
            lesion_id=self.lesion,
            frame=frame,
            x=x,
            y=y,
            width=width,
            height=height,
            margin=8,
            label=label,
        )
        with transaction(self.node.engine, "test") as session:
            return curation.add_roi(session, self.actor, image.id, roi)

    def look(self, image: SiteImage, frames: list[int] | None = None) -> str:
        """Be shown these frames of the candidate (all that must be seen, if none are given); its digest."""
        digests = set()
        for frame in self.mask(image).to_show if frames is None else frames:
            with transaction(self.node.engine, "test") as session:
                _, digest = masks.candidate_frame(self.node, session, self.actor, image.id, frame)
                digests.add(digest)
        assert len(digests) == 1
        return digests.pop()

    def confirm(self, image: SiteImage, digest: str) -> ImageMask:
        with transaction(self.node.engine, "test") as session:
            return masks.confirm(session, self.actor, image.id, digest)

    def make_candidates(self) -> None:
        for image in self.images():
            masks.make_candidate(self.node, image.id)

    def look_and_confirm(self) -> None:
        for image in self.images():
            self.confirm(image, self.look(image))

    def curate(self) -> None:
        """Everything that a curator does, up to the last confirmation."""
        self.answer()
        self.pick()
        self.draw()
        self.make_candidates()
        self.look_and_confirm()

    def register(self) -> None:
        with transaction(self.node.engine, "test") as session:
            registering.register(self.node, session, self.actor, self.id)

    def take_back(self) -> None:
        with transaction(self.node.engine, "test") as session:
            registering.take_back(session, self.actor, self.id)

    def correct(self) -> None:
        with transaction(self.node.engine, "test") as session:
            registering.correct(session, self.actor, self.id)

    def release(self) -> Package:
        release.release(self.node, self.id)
        return self.package()

    def release_and_pack(self) -> Package:
        send.pack(self.node, self.release().id)
        return self.package()

    def packages(self) -> list[Package]:
        """Newest first."""
        with reading(self.node.engine) as session:
            statement = select(Package).where(Package.case_id == self.id).order_by(col(Package.created_at).desc())
            return list(session.exec(statement))

    def package(self) -> Package:
        return self.packages()[0]

    def packaged(self, package: Package) -> list[PackagedImage]:
        with reading(self.node.engine) as session:
            return [packaged for packaged, _ in release.images_of(session, package.id)]


def load(pacs: BadPacs, study: PhantomStudy) -> None:
    """Let this PACS hold exactly one study."""
    pacs.patient_id, pacs.accession, pacs.study_uid = study.patient.patient_id, study.accession, study.study_uid
    pacs.series_uid = str(study.instances[0].dataset.SeriesInstanceUID)
    pacs.instances = {str(i.dataset.SOPInstanceUID): to_bytes(i) for i in study.instances}


def pulled(node: SiteNode, actor: Actor, pacs: BadPacs, study: PhantomStudy) -> Case:
    """A study flagged and in staging, without a decision on it."""
    load(pacs, study)
    case_id = flag(
        node,
        actor,
        chart_id=study.patient.patient_id,
        accession=study.accession,
        study_uid=study.study_uid,
        domain=study.domain,
    )
    case = pull(node, case_id)
    assert case.state == CaseState.CURATING, case.reason
    return Case(node, actor, case_id, study)


def small_study(seed: int, device: str = "logiq-e9", stills: int = 1, cine_frames: int = 3) -> PhantomStudy:
    """A liver study with a lesion: one still and a short cine, unless told otherwise."""
    return make_study(seed, "liver", device, stills, cine_frames, "LIV-HCC")


def written_on(seed: int, words: str | None = None) -> PhantomStudy:
    """A study of one still with words in the lower left of its ultrasound region, by default its patient's name."""
    study = small_study(seed, cine_frames=0)
    instance = study.instances[0]
    ds = instance.dataset
    region = ds.SequenceOfUltrasoundRegions[0]
    picture = Image.fromarray(
        np.frombuffer(ds.PixelData, np.uint8)[: ds.Rows * ds.Columns * 3].reshape(ds.Rows, ds.Columns, 3)
    )
    where = (int(region.RegionLocationMinX0) + 12, int(region.RegionLocationMaxY1) - 60)
    text = words or study.patient.latin.upper()
    draw = ImageDraw.Draw(picture)
    box = draw.textbbox(where, text, font=font(20))
    draw.rectangle((box[0] - 6, box[1] - 6, box[2] + 6, box[3] + 6), fill=(0, 0, 0))
    draw.text(where, text, font=font(20), fill=(255, 255, 255))
    ds.PixelData = np.asarray(picture).tobytes()
    return replace(study, instances=(instance,))
