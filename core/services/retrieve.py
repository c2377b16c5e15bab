"""Pull a flagged study from the PACS: only in a low-load window, resumable, complete or not at all."""

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlmodel import Session, col, func, select

from core import jobs
from core.clock import now_utc
from core.db import reading, transaction
from core.dicom.peer import DicomWebPeer, PeerTrouble, values
from core.errors import Refused, Unavailable
from core.ids import uuid7
from core.models.sitecase import CaseState, ImageState, SiteCase, SiteImage
from core.node import SiteNode
from core.permissions import SYSTEM
from core.queries import cases as queries
from core.queries.schedule import schedule_of
from core.services import cases, masks, windows
from core.services.take_in import Arrived, Listed, take_in
from core.settings import Settings, read_secret
from core.vault import Identity

LONGEST_BACK_OFF: Final = 3600
CHECK_SECONDS: Final = 1.0  # how soon a closed window or a cancelled case stops a retrieval
LARGEST_BATCH: Final = 10  # instances taken in at once; after a kill at most these are downloaded again
LONGEST_WAIT: Final = 1.0  # seconds after which a smaller batch is taken in, so that progress is seen
STUDY_UID, SERIES_UID, SOP_UID, PATIENT_ID = "0020000D", "0020000E", "00080018", "00100020"
_FOR_RETRIEVAL: Final = "retrieve"


class NotNow(Unavailable):
    """The low-load window has closed, or somebody cancelled; what has come stays."""


def start_waiting(node: SiteNode) -> int:
    """Queue what may start now: every second, and at once when a retrieval has ended."""
    with transaction(node.engine, "retrieve.start") as session:
        return start_due(session, node.settings, now_utc())


def start_due(session: Session, settings: Settings, now: datetime) -> int:
    """Queue the retrieval of waiting cases, within the window and the cap. Returns how many were started."""
    wake_deferred(session, now)
    plan = schedule_of(session, settings)
    if windows.night_of(plan, now) is None:
        return 0
    running = session.exec(select(func.count()).where(SiteCase.state == CaseState.RETRIEVING)).one()
    waiting = (
        select(SiteCase)
        .where(SiteCase.state == CaseState.QUEUED, (col(SiteCase.not_before).is_(None)) | (SiteCase.not_before <= now))  # type: ignore[operator]
        .order_by(col(SiteCase.number))
        .limit(max(0, plan.at_once - running))
        .with_for_update(skip_locked=True)
    )
    started = session.exec(waiting).all()
    for case in started:
        cases.move(session, SYSTEM, case, CaseState.RETRIEVING)
        case.reason = None
        jobs.enqueue(session, "retrieve", "retrieve", key=f"case:{case.id}", case_id=str(case.id))
    return len(started)


def wake_deferred(session: Session, now: datetime) -> None:
    """A case that waited for its diagnosis until now goes on."""
    due = select(SiteCase).where(SiteCase.state == CaseState.DEFERRED, col(SiteCase.not_before) <= now)
    for case in session.exec(due.with_for_update(skip_locked=True)):
        cases.move(session, SYSTEM, case, CaseState.FLAGGED)
        cases.move(session, SYSTEM, case, CaseState.QUEUED)


def retrieve(node: SiteNode, case_id: UUID) -> None:
    """Pull what is still missing of one case; each instance commits its own progress. May run twice."""
    with reading(node.engine) as session:
        case = session.get(SiteCase, case_id)
        if case is None or case.state != CaseState.RETRIEVING:
            return
        peer_name = case.peer
    identity = node.vault.reveal(case_id, _FOR_RETRIEVAL, SYSTEM.name)
    try:
        if node.vault.is_opted_out(chart_id=identity.chart_id):
            raise Refused("This patient has opted out.")
        with open_peer(node.settings, peer_name) as peer:
            listed = list_study(node, peer, identity)
            with transaction(node.engine, "retrieve.listed") as session:
                cases.locked(session, case_id).expected = len(listed)
            _pull_missing(node, peer, case_id, listed)
    except NotNow as trouble:
        _wait(node, case_id, trouble.message, count=False)
    except Unavailable as trouble:
        _wait(node, case_id, trouble.message, count=True)
    except Refused as refusal:
        _fail(node, case_id, refusal.message)
    else:
        _finish(node, case_id)
    start_waiting(node)


def open_peer(settings: Settings, name: str | None) -> DicomWebPeer:
    peer = settings.peer(name)
    token = read_secret(peer.token_file, "token_file of the peer") if peer.token_file else None
    basic = (peer.user, read_secret(peer.password_file, "password_file of the peer")) if peer.user else None
    return DicomWebPeer(peer.url, token=token, basic=basic, timeout=peer.timeout_seconds)


def list_study(node: SiteNode, peer: DicomWebPeer, identity: Identity) -> list[Listed]:
    """What the PACS holds of the flagged study. Refused when it is another patient's or not one study."""
    match = (
        {"StudyInstanceUID": identity.study_uid}
        if identity.study_uid
        else {"AccessionNumber": identity.accession or ""}
    )
    studies = [entry for entry in peer.studies(**match) if values(entry, STUDY_UID)]
    if not studies:
        raise PeerTrouble("The PACS has no such study yet.")
    if len({values(entry, STUDY_UID)[0] for entry in studies}) > 1:
        raise Refused("The PACS has several studies of this accession number; flag by Study Instance UID.")
    own = node.vault.rule.normalise(identity.chart_id)
    for entry in studies:
        patient = values(entry, PATIENT_ID)
        if not patient or node.vault.rule.normalise(str(patient[0])) != own:
            raise Refused("The PACS holds this study under another chart ID than the flag; check the flag.")
    study_uid = str(values(studies[0], STUDY_UID)[0])
    listed = [
        Listed(study_uid, str(values(entry, SERIES_UID)[0]), str(values(entry, SOP_UID)[0]))
        for entry in peer.instances(study_uid)
        if values(entry, SOP_UID) and values(entry, SERIES_UID)
    ]
    if not listed:
        raise PeerTrouble("The PACS lists no instance of this study yet.")
    return list(dict.fromkeys(listed))


def _pull_missing(node: SiteNode, peer: DicomWebPeer, case_id: UUID, listed: list[Listed]) -> None:
    """Download one after another; beside it, what has arrived is taken in, several at once where they come quickly."""
    arrived: list[Arrived] = []
    taking: Future[None] | None = None
    due = time.monotonic() + LONGEST_WAIT
    with ThreadPoolExecutor(1, "take-in") as taker:
        try:
            for one in _downloads(node, peer, case_id, listed):
                arrived.append(one)
                if len(arrived) == LARGEST_BATCH or time.monotonic() > due:
                    _finished(taking)
                    taking, arrived = taker.submit(take_in, node, case_id, arrived), []
                    due = time.monotonic() + LONGEST_WAIT
        finally:  # what has come stays, also when the window closed or the PACS broke off
            _finished(taking)
            if arrived:
                take_in(node, case_id, arrived)


def _finished(taking: Future[None] | None) -> None:
    if taking is not None:
        taking.result()


def _downloads(node: SiteNode, peer: DicomWebPeer, case_id: UUID, listed: list[Listed]) -> Iterator[Arrived]:
    """Each instance that has no row yet, once it is staged. Raises NotNow when the window closes."""
    spacing, checked = 0.0, -CHECK_SECONDS
    is_resumed = bool(node.vault.known_instances(case_id))
    for number, instance in enumerate(listed, 1):
        begun = time.monotonic()
        if begun - checked >= CHECK_SECONDS:
            checked = begun
            spacing = 1 / _check_may_go_on(node, case_id).per_second
        known = node.vault.has_instance(case_id, instance.sop_uid) if is_resumed else None
        if known and _has_row(node, known):
            continue
        image_id, digest = known or uuid7(), hashlib.sha256()
        if known and node.staging.exists(image_id, "original"):
            with node.staging.open(image_id, "original") as reader:
                digest = hashlib.file_digest(reader, "sha256")
        else:
            with peer.instance(instance.study_uid, instance.series_uid, instance.sop_uid) as pieces:
                node.staging.put(image_id, "original", _hashed(pieces, digest))
        yield Arrived(image_id, number, instance, digest.digest())
        time.sleep(max(0.0, spacing - (time.monotonic() - begun)))


def _hashed(pieces: Iterator[bytes], digest: "hashlib._Hash") -> Iterator[bytes]:
    for piece in pieces:
        digest.update(piece)
        yield piece


def _has_row(node: SiteNode, image_id: UUID) -> bool:
    with reading(node.engine) as session:
        return session.get(SiteImage, image_id) is not None


def _check_may_go_on(node: SiteNode, case_id: UUID) -> windows.Plan:
    """The schedule as it is now. Raises NotNow when the window has closed or somebody cancelled."""
    with reading(node.engine) as session:
        plan, case = schedule_of(session, node.settings), session.get(SiteCase, case_id)
        is_wanted = case is not None and case.state == CaseState.RETRIEVING
    if not is_wanted or windows.night_of(plan, now_utc()) is None:
        raise NotNow("The low-load window has closed or the retrieval was cancelled; it goes on in the next window.")
    return plan


def _finish(node: SiteNode, case_id: UUID) -> None:
    with transaction(node.engine, "retrieve.finish") as session:
        case = cases.locked(session, case_id)
        if case.state != CaseState.RETRIEVING:
            return
        images = session.exec(select(SiteImage).where(SiteImage.case_id == case_id)).all()
        if len(images) != case.expected:
            short = f"The PACS lists {case.expected} instances and sent {len(images)}; asked again."
        elif not any(image.state == ImageState.STAGED and image.frames for image in images):
            cases.move(session, SYSTEM, case, CaseState.RETRIEVE_FAILED)
            case.reason = "None of the instances can be used; each says why."
            return
        else:
            cases.move(session, SYSTEM, case, CaseState.CURATING, images=len(images))
            case.failures, case.failed_nights, case.reason = 0, 0, None
            proposed = queries.masks_of(session, case_id)
            pictures = [image for image in images if image.state == ImageState.STAGED and image.frames]
            masks.propose(session, [image for image in pictures if image.id not in proposed])
            for image in pictures:
                jobs.enqueue(session, "mask", "pixels", key=f"image:{image.id}", image_id=str(image.id))
            return
    _wait(node, case_id, short, count=True)


def _wait(node: SiteNode, case_id: UUID, reason: str, *, count: bool) -> None:
    """Back to the queue, with back-off; after as many failed nights as set, to the IT desk."""
    with transaction(node.engine, "retrieve.wait") as session:
        case = cases.locked(session, case_id)
        if case.state != CaseState.RETRIEVING:
            return
        now, plan = now_utc(), schedule_of(session, node.settings)
        case.reason = reason
        if count:
            case.failures += 1
            case.not_before = now + timedelta(seconds=min(LONGEST_BACK_OFF, 2**case.failures))
            night = windows.night_of(plan, now) or now.date()
            if night != case.last_failed_night:
                case.failed_nights, case.last_failed_night = case.failed_nights + 1, night
        gone = case.failed_nights > plan.nights
        cases.move(session, SYSTEM, case, CaseState.RETRIEVE_FAILED if gone else CaseState.QUEUED)


def _fail(node: SiteNode, case_id: UUID, reason: str) -> None:
    with transaction(node.engine, "retrieve.fail") as session:
        case = cases.locked(session, case_id)
        if case.state == CaseState.RETRIEVING:
            cases.move(session, SYSTEM, case, CaseState.RETRIEVE_FAILED)
            case.reason = reason
