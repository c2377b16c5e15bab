"""Who may do what: one table of verbs and roles, and pure functions that raise; pages ask the same functions."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from core.errors import Denied
from core.models.people import Role


class Verb(StrEnum):
    """What a person or a token may be allowed to do; also the scopes of a token."""

    SEE_CASES = "cases:read"
    FLAG = "cases:flag"
    RETRIEVE = "cases:retrieve"
    SEE_PIXELS = "pixels:read"
    CURATE = "cases:curate"
    REGISTER = "cases:register"
    READ = "reads"
    ASSIGN = "reads:assign"
    OPT_OUT = "opt-outs"
    DEVICE_RULES = "device-rules"
    PEERS = "peers"
    SEE_PACKAGES = "packages:read"
    SEND = "packages:send"
    PEOPLE = "people"
    AUDIT = "audit:read"
    DICOM_READ = "dicom:read"
    DICOM_WRITE = "dicom:write"
    SEE_BANK = "bank:read"
    FREEZE = "datasets:freeze"
    PULL = "datasets:read"
    DELIVER = "parcels"
    INFER = "infer"
    OFFER_MODEL = "models:register"
    DECIDE_MODEL = "models:decide"
    TRAIN = "models:train"


_R = Role
ROLES: Final[dict[Verb, frozenset[Role]]] = {
    Verb.SEE_CASES: frozenset({_R.EXAM, _R.CUR, _R.REG, _R.SITEPI, _R.SITEIT, _R.XFER}),
    Verb.FLAG: frozenset({_R.EXAM, _R.CUR, _R.REG}),
    Verb.RETRIEVE: frozenset({_R.CUR, _R.REG, _R.SITEIT}),
    Verb.SEE_PIXELS: frozenset({_R.CUR, _R.REG}),
    Verb.CURATE: frozenset({_R.CUR}),
    Verb.REGISTER: frozenset({_R.REG}),
    Verb.READ: frozenset({_R.CUR, _R.REG}),
    # Who assigns second readings also settles them, sees how far readers agree, and sets the site's targets.
    Verb.ASSIGN: frozenset({_R.REG}),
    Verb.OPT_OUT: frozenset({_R.PTDESK}),
    # The site's own investigator answers for privacy. The verb itself shows the pictures of the devices that a rule is made
    # for, and each is an audit event; no case page opens by it.
    Verb.DEVICE_RULES: frozenset({_R.SITEPI}),
    Verb.PEERS: frozenset({_R.SITEIT}),
    Verb.SEE_PACKAGES: frozenset({_R.XFER, _R.REG, _R.SITEPI, _R.SITEIT}),
    Verb.SEND: frozenset({_R.XFER}),
    Verb.PEOPLE: frozenset({_R.ADMIN}),
    Verb.AUDIT: frozenset({_R.AUD}),
    Verb.DICOM_READ: frozenset({_R.DOM, _R.CENOP, _R.SITEIT}),
    Verb.DICOM_WRITE: frozenset({_R.SITEIT}),
    Verb.SEE_BANK: frozenset({_R.DOM, _R.CENOP, _R.CLDOP}),
    Verb.FREEZE: frozenset({_R.DOM}),
    Verb.PULL: frozenset({_R.AIDEV, _R.DOM}),
    Verb.DELIVER: frozenset({_R.MACHINE}),
    # Frames in, boxes out: who sees pictures anyway, and a maker's device in the laboratory.
    Verb.INFER: frozenset({_R.EXAM, _R.CUR, _R.REG, _R.SITEPI, _R.SITEIT, _R.DOM, _R.AIDEV, _R.VEND}),
    Verb.OFFER_MODEL: frozenset({_R.SITEIT, _R.AIDEV, _R.DOM}),
    # At central the domain lead promotes, at a site its investigator accepts.
    Verb.DECIDE_MODEL: frozenset({_R.DOM, _R.SITEPI}),
    # Who may pull a dataset may have a model made of it.
    Verb.TRAIN: frozenset({_R.AIDEV, _R.DOM}),
}

ALL_DOMAINS: Final = "*"


@dataclass(frozen=True)
class Actor:
    """Somebody who acts: a user with the verbs that their roles (and their token's scopes) leave them, by organ domain."""

    name: str
    user_id: UUID | None
    rights: tuple[tuple[Verb, frozenset[str]], ...] = ()
    site: str | None = None

    def domains(self, verb: Verb) -> frozenset[str]:
        """The domains in which this actor may do `verb`; {"*"} is all of them."""
        return next((domains for known, domains in self.rights if known == verb), frozenset())

    def may(self, verb: Verb, domain: str | None = None) -> bool:
        """With no domain: in any domain at all."""
        domains = self.domains(verb)
        return bool(domains) if domain is None else bool(domains & {ALL_DOMAINS, domain})


SYSTEM: Final = Actor("system", None)


def rights_of(
    grants: list[tuple[Role, str]], scopes: list[str] | None = None
) -> tuple[tuple[Verb, frozenset[str]], ...]:
    """The verbs that these (role, domain) grants give, narrowed to a token's scopes."""
    rights = []
    for verb, roles in ROLES.items():
        domains = frozenset(domain for role, domain in grants if role in roles)
        if domains and (scopes is None or verb in scopes):
            rights.append((verb, domains))
    return tuple(rights)


def check(actor: Actor, verb: Verb, domain: str | None = None) -> None:
    """Raise Denied unless the actor may do this."""
    if not actor.may(verb, domain):
        raise Denied
