"""The record of the contract, built from what the people of the site have said; only codes, numbers and new identifiers."""

import re
from collections.abc import Mapping
from typing import Any, Final

from sqlmodel import col, select

from core.db import reading
from core.deid.candidate import Index
from core.errors import Held
from core.models.curation import ImageMask, Roi
from core.models.sitecase import SiteCase, SiteImage
from core.models.transfer import Package, PackagedImage
from core.node import SiteNode
from core.package import contract
from core.queries import cases as queries
from core.services.curation import present_form
from core.services.drawing import track_of
from core.services.release import images_of
from core.services.rois import centre_in_region, centre_of
from core.vocabulary import domain as vocabulary
from core.vocabulary.schema import FieldSpec

UCUM: Final = {
    "": "1",
    "months": "mo",
    "days": "d",
    "years": "a",
    "/min": "1/min",
    "mmHg": "mm[Hg]",
    "x10^4/uL": "10*4/uL",
}
_OWN_PLACE: Final = frozenset({"basis", "sex", "age_years", "examiner_class", "image_quality"})
_READERS: Final = {"EX-SPEC": "specialist", "EX-SONO": "sonographer", "EX-TRAIN": "trainee"}
_QUALITY: Final = {"IQ-DIAG": "diagnostic", "IQ-LIM": "limited", "IQ-NON": "non-diagnostic"}
_SEX: Final = {"M": "M", "F": "F", "O": "O"}


def build_record(node: SiteNode, package: Package, audit_head: str) -> contract.CaseRecord:
    """Everything of this version of the case that leaves. Raises Refused when something does not fit the contract."""
    link = node.vault.link(package.case_id)
    with reading(node.engine) as session:
        case = session.get_one(SiteCase, package.case_id)
        entries, _ = present_form(session, case)
        pairs = images_of(session, package.id)
        masks = {
            m.id: m for m in session.exec(select(ImageMask).where(col(ImageMask.id).in_([p.mask_id for p, _ in pairs])))
        }
        rois = queries.lesions_of(session, case.id)
    plain = {field: entry["value"] for field, entry in entries.items()}
    outward = {image.id: packaged for packaged, image in pairs}
    measures = body_measures(pairs[0][1].facts)
    body = {
        "contract_version": contract.CONTRACT_VERSION,
        "package_id": package.id,
        "site": node.site_code,
        "case_id": link.outward_case_id,
        "case_version": package.case_version,
        "research_id": link.research_id,
        "domain": case.domain,
        "capture_route": "flag",
        "sex": _SEX.get(str(plain.get("sex")), "unknown"),
        "age_years": plain.get("age_years"),
        "height_m": measures.get("height_m"),
        "weight_kg": measures.get("weight_kg"),
        "values": _values(case.domain, entries),
        "images": tuple(_image(packaged, image, masks[packaged.mask_id], plain) for packaged, image in pairs),
        "rois": tuple(
            _roi(roi, image, outward[image.id], plain) for roi in rois for _, image in pairs if roi.image_id == image.id
        ),
        "basis": tuple(plain.get("basis", ())),
        "site_audit_head": audit_head,
    }
    return contract.build(body)


def leaving(domain: str, entries: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The form's answers as they travel, by field: {"kind", "value" or "codes", "unit", "source"}.

    The fields that the contract keeps in a place of their own are among them."""
    return _values(domain, entries, frozenset())


def body_measures(facts: Mapping[str, Any]) -> dict[str, float]:
    """Height in metres and weight in kilograms that leave with the case, of the first image's header."""
    found = {"height_m": _within(facts.get("size_m"), 0.2, 2.6), "weight_kg": _within(facts.get("weight_kg"), 0.2, 400)}
    return {name: value for name, value in found.items() if value is not None}


def _within(value: object, least: float, most: float) -> float | None:
    return float(value) if isinstance(value, int | float) and least <= value <= most else None


def _values(domain: str, entries: Mapping[str, Any], apart: frozenset[str] = _OWN_PLACE) -> dict[str, Any]:
    """The form's answers by field; text that came from tags travels as the device, not here."""
    organ = vocabulary.load(domain)
    specs = {field.code: field for field in organ.fields}
    found: dict[str, Any] = {}
    for code, entry in entries.items():
        if code in apart or entry["value"] is None or (code in specs and specs[code].type == "text"):
            continue
        source = entry["tag"] if entry["source"] == "tag" else entry["source"]
        found[code] = _value(specs.get(code), entry["value"]) | {"source": source}
    return found


def _value(spec: FieldSpec | None, value: object) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"kind": "boolean", "value": value}
    if isinstance(value, int | float):
        unit = spec.unit.en if spec is not None and spec.unit is not None else ""
        is_integer = spec.type == "integer" if spec is not None else isinstance(value, int)
        kind = "integer" if is_integer else "number"
        return {"kind": kind, "value": int(value) if is_integer else float(value), "unit": UCUM.get(unit, unit)}
    if isinstance(value, list | tuple):
        return {"kind": "codes", "codes": tuple(str(code) for code in value)}
    return {"kind": "codes", "codes": (str(value),)}


def device(facts: Mapping[str, Any]) -> dict[str, Any]:
    """A device's facts that fit a token; one that does not fit does not leave."""
    transducer_type = facts.get("transducer_type")
    return {
        "manufacturer": contract.token_or_none(facts.get("manufacturer")),
        "model": contract.token_or_none(facts.get("model")),
        "software": tuple(filter(None, map(contract.token_or_none, facts.get("software") or ())))[:8],
        "transducer": tuple(filter(None, map(contract.token_or_none, facts.get("transducer_data") or ())))[:8],
        "transducer_type": transducer_type if re.fullmatch(r"[A-Z][A-Z_ ]{0,15}", transducer_type or "") else None,
    }


def _image(packaged: PackagedImage, image: SiteImage, mask: ImageMask, plain: Mapping[str, Any]) -> dict[str, Any]:
    if packaged.sha256 is None or mask.digest is None:
        raise Held("An image of the package is not built.")
    index = Index.of(mask.candidate)
    scale = image.facts.get("mm_per_px")
    return {
        "image_id": packaged.id,
        "study_uid": packaged.study_uid,
        "series_uid": packaged.series_uid,
        "sop_instance_uid": packaged.sop_instance_uid,
        "sop_class_uid": image.facts.get("sop_class_uid"),
        "transfer_syntax": index.format.transfer_syntax,
        "sha256": packaged.sha256,
        "size": packaged.size,
        "rows": image.rows,
        "columns": image.columns,
        "frames": image.frames,
        "photometric": index.format.photometric,
        "device": device(image.facts),
        "mask": {
            "rule_id": mask.rule_id,
            "rule_version": mask.rule_version,
            "rects": tuple(tuple(rect) for rect in mask.rects),
            "revision": mask.revision,
        },
        "candidate_digest": mask.digest,
        "mm_per_px": {"x": scale[0], "y": scale[1]} if scale else None,
        "quality": _QUALITY.get(str(plain.get("image_quality"))),
        "values": {},
    }


def _roi(roi: Roi, image: SiteImage, packaged: PackagedImage, plain: Mapping[str, Any]) -> dict[str, Any]:
    (x, y), mm = centre_of(roi), centre_in_region(roi, image)
    return {
        "roi_id": roi.id,
        "image_id": packaged.id,
        "lesion_id": roi.lesion_id,
        "frame": roi.frame,
        "x": float(roi.x),
        "y": float(roi.y),
        "width": float(roi.width),
        "height": float(roi.height),
        "margin": float(roi.margin),
        "centre_px": {"x": x, "y": y},
        "centre_mm": {"x": mm[0], "y": mm[1]} if mm and image.facts.get("mm_per_px") else None,
        "shape": roi.kind,
        "label": roi.label,
        "drawn_by": _READERS.get(str(plain.get("examiner_class")), "other"),
        "source": "manual",
        **path_of(roi),
    }


def path_of(roi: Roi) -> dict[str, Any]:
    """Keyframes and spans out of view; nothing for a rectangle on one frame, of which the box says everything."""
    track = track_of(roi)
    if track.kind == "rectangle" and len(track.keyframes) == 1 and not track.out_of_view:
        return {}
    frames = tuple({"frame": frame, "points": points} for frame, points in track.keyframes)
    return {"keyframes": frames, "out_of_view": track.out_of_view}
