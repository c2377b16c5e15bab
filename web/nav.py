"""The menu of a node: which pages it has, in which order, and who is shown them."""

from dataclasses import dataclass
from typing import Final

from core.permissions import Actor, Verb


@dataclass(frozen=True)
class Entry:
    """One page in the menu. `name` is what the page calls itself in `here`; its words are `nav.<name>`."""

    name: str
    href: str
    icon: str
    verbs: tuple[Verb, ...] = ()  # any of them; none: everybody who is signed in

    def is_for(self, actor: Actor) -> bool:
        return not self.verbs or any(actor.may(verb) for verb in self.verbs)


_V = Verb
_HOME: Final = Entry("home", "/", "house")
_AI: Final = (
    Entry("live", "/live", "activity", (_V.INFER,)),
    Entry("models", "/models", "crosshair", (_V.INFER, _V.OFFER_MODEL, _V.DECIDE_MODEL)),
)
_DESK: Final = (
    Entry("people", "/people", "users", (_V.PEOPLE,)),
    Entry("audit", "/audit", "scroll-text", (_V.AUDIT,)),
    Entry("health", "/health", "heart-pulse", (_V.PEOPLE, _V.PEERS, _V.DICOM_READ)),
    Entry("account", "/account", "key-round"),
)
MENUS: Final[dict[str, tuple[tuple[str, tuple[Entry, ...]], ...]]] = {
    "site": (
        (
            "work",
            (
                _HOME,
                Entry("my", "/my", "chart-column", (_V.SEE_CASES,)),
                Entry("worklist", "/worklist", "list-checks", (_V.SEE_CASES,)),
                Entry("reads", "/reads", "book-open", (_V.READ, _V.ASSIGN)),
                Entry("flag", "/flag", "flag", (_V.FLAG,)),
                Entry("transfers", "/transfers", "send", (_V.SEE_PACKAGES,)),
                Entry("devices", "/devices", "scan-line", (_V.SEE_PIXELS, _V.PEERS, _V.DEVICE_RULES)),
                Entry("opt-outs", "/opt-outs", "shield-off", (_V.OPT_OUT,)),
                *_AI,
            ),
        ),
        (
            "desk",
            (
                Entry("schedule", "/schedule", "calendar-clock", (_V.SEE_CASES, _V.PEERS)),
                Entry("peers", "/peers", "server", (_V.PEERS,)),
                *_DESK,
            ),
        ),
    ),
    "central": (
        (
            "work",
            (
                _HOME,
                Entry("bank", "/cases", "layers", (_V.SEE_BANK,)),
                Entry("datasets", "/datasets", "database", (_V.PULL, _V.FREEZE)),
                Entry("training", "/training", "refresh-cw", (_V.TRAIN,)),
                *_AI,
            ),
        ),
        ("desk", _DESK),
    ),
    "pacs": (("work", (_HOME,)), ("desk", _DESK)),
}


def menu(role: str, actor: Actor | None) -> list[tuple[str, list[Entry]]]:
    """The sections of this node's menu with what this person may open; empty for a visitor."""
    if actor is None:
        return []
    sections = [(name, [entry for entry in entries if entry.is_for(actor)]) for name, entries in MENUS.get(role, ())]
    return [(name, entries) for name, entries in sections if entries]
