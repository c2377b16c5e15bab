"""A rule on trial: what it would make of every held image of its device, and the pictures to judge that by."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlmodel import Session

from core import audit
from core.deid import candidate as candidates
from core.deid.local_rules import Content, rule_of, start_rects
from core.deid.mask_rules import DeviceFacts, Rect, Rule, catalogue
from core.deid.masks import Proposal, propose
from core.dicom.display import palette_of
from core.dicom.part10 import open_part10
from core.errors import Malformed, WrongState
from core.models.devices import DeviceRule
from core.node import SiteNode
from core.permissions import Actor, Verb, check
from core.queries import device_rules as queries
from core.queries.device_rules import HeldImage
from core.services.decoding import PNG, original_frame
from core.services.facts import regions_of

LARGEST: Final = 1600


class Verdict(StrEnum):
    COVERED = "covered"
    SCALED = "scaled"
    OTHER_SIZE = "other-size"
    UNFIT = "unfit"


@dataclass(frozen=True)
class Trial:
    """One held image: what the rule says of it, and how much of its area would stay visible (0 to 1)."""

    held: HeldImage
    verdict: Verdict
    visible: float
    rects: tuple[Rect, ...]


@dataclass(frozen=True)
class Trials:
    """Every held image of the device; of those that the rule masks the most visible first. `counts` has each verdict, images and cases."""

    images: Sequence[Trial]
    counts: dict[str, int]


def trials(session: Session, actor: Actor, rule: DeviceRule) -> Trials:
    """Apply the rule as it is written now; nothing is kept."""
    check(actor, Verb.DEVICE_RULES)
    content = queries.content_of(rule)
    own, others = _rules(session, rule, content)
    found = [_trial(one, own, others) for one in queries.held_of(session, [content], actor)]
    order = (Verdict.SCALED, Verdict.COVERED, Verdict.UNFIT, Verdict.OTHER_SIZE)
    found.sort(key=lambda one: (order.index(one.verdict), -one.visible, one.held.case.number, one.held.image.number))
    counted = Counter(one.verdict.value for one in found)
    counts = {verdict.value: counted[verdict.value] for verdict in Verdict}
    counts |= {"images": len(found), "cases": len({one.held.case.id for one in found})}
    counts["waiting"] = sum(one.held.is_open for one in found)
    return Trials(found, counts)


def test(session: Session, actor: Actor, rule_id: UUID) -> DeviceRule:
    """Try the rule on all held images of its device and keep the counts: without this it cannot be published."""
    rule = queries.rule_in(session, rule_id)
    counts = trials(session, actor, rule).counts
    sha256 = queries.content_of(rule).sha256
    rule.tested = {**counts, "sha256": sha256}
    audit.record(
        session, actor, "device-rule.test", rule.id, sha256=sha256, images=counts["images"], waiting=counts["waiting"],
        covered=counts[Verdict.COVERED], scaled=counts[Verdict.SCALED],
    )  # fmt: skip
    return rule


def _rules(session: Session, rule: DeviceRule, content: Content) -> tuple[Rule, tuple[Rule, ...]]:
    """(the rule on trial, the rules beside which it would stand)."""
    others = tuple(one for one in queries.rules_in_use(session) if one.id != rule.code)
    return rule_of(rule.code, 0, content), (*others, *catalogue())


def _trial(held: HeldImage, own: Rule, others: tuple[Rule, ...]) -> Trial:
    proposal = proposal_of(held, (own, *others))
    image = held.image
    is_size = (image.rows, image.columns) == (min(own.rows), min(own.columns))
    if own.id in (proposal.rule_id or "").split("+"):
        verdict = Verdict.COVERED if is_size else Verdict.SCALED
    else:
        verdict = Verdict.UNFIT if is_size else Verdict.OTHER_SIZE
    hidden = sum(rect.width * rect.height for rect in proposal.rects)
    return Trial(held, verdict, 1 - hidden / (image.rows * image.columns), proposal.rects)


def proposal_of(held: HeldImage, rules: tuple[Rule, ...]) -> Proposal:
    return propose(DeviceFacts.of(held.image.facts), regions_of(held.image.facts), rules)


def outside_rects(held: HeldImage) -> list[list[int]]:
    """What lies outside the ultrasound regions of an image; nothing where it has none."""
    regions = regions_of(held.image.facts)
    return [list(rect) for rect in proposal_of(held, ()).rects] if regions else []


def first_content(held: HeldImage) -> dict[str, Any]:
    """What a form for a rule begins with: the device of this image, and what a person should look at first."""
    facts = DeviceFacts.of(held.image.facts)
    regions = regions_of(held.image.facts)
    return {
        "manufacturer": facts.manufacturer or "",
        "model": facts.model or "",
        "aliases": [],
        "software": "",
        "image_type": "",
        "rows": held.image.rows,
        "columns": held.image.columns,
        "scale": "refuse",
        "outside": bool(regions),
        "rects": [list(rect) for rect in start_rects(facts, regions)],
    }


# Pictures. Each is an audit event: the right to make rules shows the pictures of a device, and nothing else of a case.


def sample(
    node: SiteNode, session: Session, actor: Actor, image_id: UUID, frame: int, width: int | None = None
) -> bytes:
    """PNG of one frame (from 1) of a held image as it was taken: a person must see what is to be hidden."""
    return _picture(node, session, actor, image_id, frame, width, None)


def masked(
    node: SiteNode, session: Session, actor: Actor, rule_id: UUID, image_id: UUID, frame: int, width: int | None = None
) -> bytes:
    """PNG of one frame (from 1) with the mask that the rule would give it, burned in as in a candidate."""
    rule = queries.rule_in(session, rule_id)
    own, others = _rules(session, rule, queries.content_of(rule))
    held = queries.held_image(session, actor, image_id)
    return _picture(node, session, actor, image_id, frame, width, _trial(held, own, others).rects)


def _picture(
    node: SiteNode, session: Session, actor: Actor, image_id: UUID, frame: int, width: int | None,
    rects: tuple[Rect, ...] | None,
) -> bytes:  # fmt: skip
    check(actor, Verb.DEVICE_RULES)
    image = queries.held_image(session, actor, image_id).image
    if not 1 <= frame <= image.frames:
        raise Malformed(f"This image has frames 1 to {image.frames}.")
    audit.record_read(session, actor, "device-rule.picture", image.id, masked=int(rects is not None))
    with node.staging.open(image.id, "original") as reader:
        part10 = open_part10(reader, reader.size)
        if part10.pixel is None:
            raise WrongState("This object has no picture.")
        data, fmt = original_frame(node.sandbox, reader, part10, frame)
        palette = palette_of(part10.dataset) if fmt.photometric == "PALETTE COLOR" else None
        if rects is not None:
            plan = candidates.plan(part10.dataset, fmt, rects, regions_of(image.facts))
            params, blobs = plan.request(data)
            made = plan.response(*node.sandbox.call("core.deid.candidate:sandboxed_mask", params, blobs))
            data, fmt, palette = made.data, made.format, plan.palette
    params = {"fmt": asdict(fmt), "media_type": PNG}
    if width is not None:
        params["size"] = [min(width, LARGEST), min(width, LARGEST)]
    blobs = [data]
    if palette is not None:
        params["palette"] = {"first": palette.first, "dtype": palette.lut.dtype.name}
        blobs.append(palette.lut.tobytes())
    return bytes(node.sandbox.call("core.dicom.frames:sandboxed_render", params, blobs)[1][0])
