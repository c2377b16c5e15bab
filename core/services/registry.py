"""The registry of models: register a version, let it take effect, roll back. What takes effect, a named person said."""

import hashlib
import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlmodel import Session, col, select

from core import audit
from core.clock import now_utc
from core.errors import Conflict, Denied, Malformed, NotFound, WrongState
from core.inference import folder as model_folder
from core.models.registry import IN_EFFECT, MODEL_MOVES, ModelFile, ModelState, ModelVersion
from core.node import CentralNode, Node
from core.permissions import ALL_DOMAINS, Actor, Verb, check
from core.services import heart, issue
from core.vocabulary import domain as vocabulary

RUNS_ALONE: Final = ("detect", "echo")
TAKES_EFFECT: Final[Mapping[str, ModelState]] = {"site": ModelState.ACCEPTED}


def effect_state(role: str) -> ModelState:
    """What a version in effect is called on a node of this role."""
    return TAKES_EFFECT.get(role, ModelState.PROMOTED)


def keep_files(node: Node, told: model_folder.Told) -> None:
    """Put the files of a model into the store: before its rows, and in no transaction."""
    for content in told.files.values():
        node.store.put(io.BytesIO(content), hashlib.sha256(content).hexdigest())


def register(session: Session, actor: Actor, told: model_folder.Told, domain: str) -> ModelVersion:
    """REGISTERED: what the files are that `keep_files` has put away. The same model again is the same row.

    Raises Conflict for other content under a known name and version: a version never changes."""
    check(actor, Verb.OFFER_MODEL, domain)
    return enter(session, actor, told, domain)


def enter(session: Session, actor: Actor, told: model_folder.Told, domain: str) -> ModelVersion:
    """The row of a model: by whom, `register` and the offers of central have settled. Raises Conflict, Malformed."""
    if domain != ALL_DOMAINS and domain not in vocabulary.domains():
        raise Malformed("There is no such organ domain.")
    known = session.exec(
        select(ModelVersion).where(ModelVersion.name == told.name, ModelVersion.version == told.version)
    ).first()
    if known is not None:
        if known.sha256 != told.sha256 or known.domain != domain:
            raise Conflict("There is another model of that name and version: give this one the next version.")
        return known
    model = ModelVersion(
        name=told.name, version=told.version, domain=domain, task=told.task, classes=told.classes,
        state=ModelState.REGISTERED, sha256=told.sha256, dataset=told.dataset, metrics=told.metrics,
        intended_use=told.intended_use, licence=told.licence, shippable=told.is_shippable, card=told.card,
        registered_by=actor.user_id,
    )  # fmt: skip
    session.add(model)
    session.flush()
    for path, content in sorted(told.files.items()):
        sha256 = hashlib.sha256(content).hexdigest()
        session.add(ModelFile(model_id=model.id, path=path, sha256=sha256, size=len(content)))
    audit.record(session, actor, "model.registered", model.id, after=model.state, n=model.version, domain=domain)
    return model


def readable_models(session: Session, actor: Actor) -> list[ModelVersion]:
    """Every version that this person may see, the newest first."""
    domains = actor.domains(Verb.INFER) | actor.domains(Verb.OFFER_MODEL) | actor.domains(Verb.DECIDE_MODEL)
    if not domains:
        raise Denied
    statement = select(ModelVersion).order_by(col(ModelVersion.registered_at).desc(), col(ModelVersion.id).desc())
    if ALL_DOMAINS not in domains:
        statement = statement.where(col(ModelVersion.domain).in_([*domains, ALL_DOMAINS]))
    return list(session.exec(statement))


def readable_model(session: Session, actor: Actor, model_id: UUID) -> ModelVersion:
    """Raises NotFound for one that is not there, or not for this person."""
    found = next((one for one in readable_models(session, actor) if one.id == model_id), None)
    if found is None:
        raise NotFound
    return found


def take_effect(node: Node, session: Session, actor: Actor, model_id: UUID) -> ModelVersion:
    """A named person promotes (at a site: accepts) a version; the one before it retires in the same transaction.

    What central promotes it offers to the sites, if its licence lets it leave; of what it no longer uses they hear too.
    An older one is rolled back to by the same step. Raises WrongState for one that is in effect already."""
    model = _decidable(session, actor, model_id)
    to = effect_state(node.settings.role)
    if model.task not in RUNS_ALONE:
        raise WrongState("A model that finds nothing by itself runs as a part of a pipeline only.")
    if model.task == "echo" and model.domain != heart.DOMAIN:
        raise WrongState(
            "A model that draws the ventricle takes effect for the heart alone: register it for that organ."
        )
    before = select(ModelVersion).where(
        ModelVersion.domain == model.domain, col(ModelVersion.state).in_([*IN_EFFECT]), ModelVersion.id != model.id
    )
    for other in session.exec(before.with_for_update()):
        _move(session, actor, other, ModelState.RETIRED)
    session.flush()
    _move(session, actor, model, to)
    if isinstance(node, CentralNode):
        session.flush()
        issue.tell_models(node, session)
    return model


def retire(node: Node, session: Session, actor: Actor, model_id: UUID) -> ModelVersion:
    """Out of effect, or never to be in it; without another one the organ has no model. The sites hear of central's."""
    model = _decidable(session, actor, model_id)
    _move(session, actor, model, ModelState.RETIRED)
    if isinstance(node, CentralNode):
        session.flush()
        issue.tell_models(node, session)
    return model


def in_effect(session: Session) -> dict[str, ModelVersion]:
    """The version in effect by organ domain."""
    found = session.exec(select(ModelVersion).where(col(ModelVersion.state).in_([*IN_EFFECT])))
    return {model.domain: model for model in found}


def of_domain(session: Session, domain: str) -> ModelVersion | None:
    """The version that looks at images of this organ: its own, or the one for any."""
    models = in_effect(session)
    return models.get(domain) or models.get(ALL_DOMAINS)


def files_of(session: Session, model: ModelVersion) -> list[ModelFile]:
    return list(session.exec(select(ModelFile).where(ModelFile.model_id == model.id).order_by(col(ModelFile.path))))


def unpack(node: Node, files: list[ModelFile], folder: Path) -> Path:
    """The model's folder as it was registered, from the store; whole, or not there. Raises Unavailable."""
    if folder.is_dir():
        return folder
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for file in files:
        path = part / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(node.store.read(file.sha256))
    part.rename(folder)
    return folder


def model_hashes(session: Session, hashes: list[str]) -> set[str]:
    """Of these blobs, the ones that some model names."""
    return set(session.exec(select(ModelFile.sha256).where(col(ModelFile.sha256).in_(hashes))))


def _decidable(session: Session, actor: Actor, model_id: UUID) -> ModelVersion:
    model = session.get(ModelVersion, model_id, with_for_update=True)
    if model is None or not (actor.may(Verb.DECIDE_MODEL, model.domain) and actor.user_id):
        readable_model(session, actor, model_id)
        raise Denied
    return model


def _move(session: Session, actor: Actor, model: ModelVersion, to: ModelState) -> None:
    if to not in MODEL_MOVES[ModelState(model.state)]:
        raise WrongState("This step is not allowed in the present state.")
    audit.record(session, actor, f"model.{to.lower()}", model.id, before=model.state, after=to, n=model.version)
    model.state, model.decided_by, model.decided_at = to, actor.user_id, now_utc()
