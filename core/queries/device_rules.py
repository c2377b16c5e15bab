"""Reads of the site's own mask rules: those that masks are made by, and the held images of a device."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_
from sqlmodel import Session, col, func, select

from core.deid.local_rules import Content, rule_of
from core.deid.mask_rules import DeviceFacts, Rect, Rule
from core.errors import NotFound
from core.models.curation import ImageMask, MaskState
from core.models.devices import DeviceRule, DeviceRuleVersion, RuleState
from core.models.people import User
from core.models.sitecase import CaseState, ImageState, SiteCase, SiteImage
from core.permissions import ALL_DOMAINS, Actor, Verb

# Whoever makes proposals holds this shared until they are committed; whoever publishes or retires holds it alone.
RULES_LOCK: Final = 0x50_4E_4F_02
SAMPLES: Final = 12


@dataclass(frozen=True)
class HeldImage:
    """An image whose bytes are here, with its present mask."""

    image: SiteImage
    case: SiteCase
    mask: ImageMask | None

    @property
    def is_open(self) -> bool:
        """A rule may still replace its mask: proposed, by no person's hand, in a case that is being curated."""
        mask = self.mask
        is_proposed = mask is not None and mask.state == MaskState.PROPOSED and not mask.is_drawn
        return is_proposed and self.case.state == CaseState.CURATING


@dataclass(frozen=True)
class Kind:
    """What the held images of a device have in common, for the choices of a form: each with its number of images."""

    software: Sequence[tuple[str, int]]
    image_types: Sequence[tuple[str, int]]
    sizes: Sequence[tuple[tuple[int, int], int]]


@dataclass(frozen=True)
class Own:
    """A rule of the site on a card: its newest version and who published it; of a draft what is written so far.

    `is_edited`: something was saved since that nobody published."""

    rule: DeviceRule
    version: DeviceRuleVersion | None
    by: str
    rects: Sequence[Rect]
    is_edited: bool
    sample: UUID | None


def own_rules(session: Session) -> list[Own]:
    """Those in use first, then drafts; of the retired ones those that once were in use."""
    found = []
    for rule in all_rules(session):
        version, by = next(iter(versions_of(session, rule.id)), (None, ""))
        if rule.state == RuleState.RETIRED and version is None:
            continue
        content = content_of(rule)
        is_edited = version is not None and version.sha256 != content.sha256 and rule.state != RuleState.RETIRED
        shown = Content.of(version.content) if version else content
        sample = rule.sample_image_id
        is_held = sample is not None and rule.state != RuleState.RETIRED and bool(held_images(session, [sample]))
        found.append(Own(rule, version, by, shown.rects, is_edited, sample if is_held else None))
    return found


def content_of(rule: DeviceRule) -> Content:
    return Content.of({name: getattr(rule, name) for name in Content.__dataclass_fields__})


def rule_in(session: Session, rule_id: UUID) -> DeviceRule:
    """Raises NotFound."""
    found = session.get(DeviceRule, rule_id)
    if found is None:
        raise NotFound
    return found


def versions_of(session: Session, rule_id: UUID) -> Sequence[tuple[DeviceRuleVersion, str]]:
    """(version, who published it), newest first."""
    statement = (
        select(DeviceRuleVersion, User.name)
        .join(User, col(User.id) == DeviceRuleVersion.published_by)
        .where(DeviceRuleVersion.rule_id == rule_id)
    )
    return session.exec(statement.order_by(col(DeviceRuleVersion.number).desc())).all()


def newest(session: Session) -> Sequence[tuple[DeviceRule, DeviceRuleVersion]]:
    """Each published rule with the version that is in use."""
    numbers = (
        select(DeviceRuleVersion.rule_id, func.max(DeviceRuleVersion.number).label("number"))
        .group_by(col(DeviceRuleVersion.rule_id))
        .subquery()
    )
    statement = (
        select(DeviceRule, DeviceRuleVersion)
        .join(DeviceRuleVersion, col(DeviceRuleVersion.rule_id) == DeviceRule.id)
        .join(numbers, and_(numbers.c.rule_id == DeviceRule.id, numbers.c.number == DeviceRuleVersion.number))
        .where(DeviceRule.state == RuleState.PUBLISHED)
    )
    return session.exec(statement.order_by(col(DeviceRule.id))).all()


def rules_in_use(session: Session) -> tuple[Rule, ...]:
    """What the site published, as rules for `core.deid.masks.propose`."""
    return tuple(rule_of(rule.code, one.number, Content.of(one.content)) for rule, one in newest(session))


def rules_to_propose(session: Session) -> tuple[Rule, ...]:
    """As `rules_in_use`; nobody publishes or retires a rule until this transaction has ended."""
    session.exec(select(func.pg_advisory_xact_lock_shared(RULES_LOCK)))
    return rules_in_use(session)


def held_of(session: Session, contents: Iterable[Content], actor: Actor | None = None) -> list[HeldImage]:
    """The held images of the devices that these rules name, whatever their size and software; as far as the actor's
    right to make rules goes, or all of them for the system (None). By case and image."""
    names = [rule_of("", 0, replace(one, software="", image_type="")) for one in contents]
    maker, model = SiteImage.facts["manufacturer"].astext, SiteImage.facts["model"].astext
    wanted = []
    for known in session.exec(select(maker, model).distinct()):
        facts = DeviceFacts(known[0], known[1], (), 1, 1)
        if any(rule.is_device(facts, has_regions=False) for rule in names):
            wanted.append(and_(maker.is_not_distinct_from(known[0]), model.is_not_distinct_from(known[1])))
    return _held(session, or_(*wanted), actor) if wanted else []


def held_device(session: Session, actor: Actor, maker: str, model: str, columns: int, rows: int) -> list[HeldImage]:
    """The held images of a device as the list of unknown ones names it; "" is what no file states."""
    names = (SiteImage.facts["manufacturer"].astext, SiteImage.facts["model"].astext)
    stated = [func.coalesce(name, "") == said for name, said in zip(names, (maker, model), strict=True)]
    return _held(session, and_(*stated, col(SiteImage.columns) == columns, col(SiteImage.rows) == rows), actor)


def held_images(session: Session, image_ids: Sequence[UUID], actor: Actor | None = None) -> list[HeldImage]:
    return _held(session, col(SiteImage.id).in_(image_ids), actor)


def held_image(session: Session, actor: Actor, image_id: UUID) -> HeldImage:
    """Raises NotFound for an image that is not here or not of the actor's domains."""
    found = held_images(session, [image_id], actor)
    if not found:
        raise NotFound
    return found[0]


def _held(session: Session, chosen: ColumnElement[bool], actor: Actor | None) -> list[HeldImage]:
    statement = (
        select(SiteImage, SiteCase)
        .join(SiteCase, col(SiteCase.id) == SiteImage.case_id)
        .where(chosen, SiteImage.state == ImageState.STAGED, SiteImage.frames > 0, col(SiteCase.purged_at).is_(None))
    )
    domains = actor.domains(Verb.DEVICE_RULES) if actor else frozenset({ALL_DOMAINS})
    if ALL_DOMAINS not in domains:
        statement = statement.where(col(SiteCase.domain).in_(domains))
    found = session.exec(statement.order_by(col(SiteCase.number), col(SiteImage.number))).all()
    ids = [image.id for image, _ in found]
    present = select(ImageMask).where(col(ImageMask.image_id).in_(ids), ImageMask.state != MaskState.VOID)
    masks = {mask.image_id: mask for mask in session.exec(present.order_by(col(ImageMask.revision)))}
    return [HeldImage(image, case, masks.get(image.id)) for image, case in found]


def kinds_of(held: Sequence[HeldImage]) -> Kind:
    software: dict[str, int] = {}
    types: dict[str, int] = {}
    sizes: dict[tuple[int, int], int] = {}
    for one in held:
        facts = one.image.facts
        for value in facts.get("software") or ():
            software[value] = software.get(value, 0) + 1
        joined = "\\".join(facts.get("image_type") or ())
        types[joined] = types.get(joined, 0) + 1
        size = (one.image.columns, one.image.rows)
        sizes[size] = sizes.get(size, 0) + 1
    return Kind(*(sorted(one.items(), key=lambda item: -item[1]) for one in (software, types, sizes)))  # type: ignore[arg-type]


def samples_of(held: Sequence[HeldImage]) -> list[HeldImage]:
    """A few to draw on: of each kind of image one first, cines before stills."""
    seen: dict[object, int] = {}
    order = []
    for one in held:
        kind = (tuple(one.image.facts.get("image_type") or ()), one.image.frames > 1, one.case.id)
        seen[kind] = seen.get(kind, 0) + 1
        order.append((seen[kind], one.image.frames == 1, one.case.number, one.image.number, one))
    return [one for *_, one in sorted(order, key=lambda item: item[:4])][:SAMPLES]


def all_rules(session: Session) -> Sequence[DeviceRule]:
    """Those in use first, then drafts, then retired ones; the newest of each first."""
    order = {RuleState.PUBLISHED: 0, RuleState.DRAFT: 1, RuleState.RETIRED: 2}
    found = session.exec(select(DeviceRule).order_by(col(DeviceRule.id).desc())).all()
    return sorted(found, key=lambda one: order[RuleState(one.state)])
