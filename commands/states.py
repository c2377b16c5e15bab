"""docs/states.md, made from the tables of allowed moves: `python -m commands.states` writes it again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from core.models.curation import MASK_MOVES
from core.models.datasets import VERSION_MOVES
from core.models.devices import RULE_MOVES
from core.models.proposals import PROPOSAL_MOVES
from core.models.reads import READ_MOVES
from core.models.registry import MODEL_MOVES
from core.models.sitecase import CASE_MOVES
from core.models.training import TRAINING_MOVES
from core.models.transfer import PACKAGE_MOVES, PARCEL_MOVES

DOCUMENT: Final = Path(__file__).resolve().parent.parent / "docs" / "states.md"
Moves = Mapping[Any, frozenset[Any]]  # of one enum of states

TABLES: Final[tuple[tuple[str, str, str, Moves], ...]] = (
    (
        "A case at the site",
        "core/models/sitecase.py",
        "A flag makes a case, FLAGGED, DEFERRED or QUEUED. One that was released comes back to CURATING as its next version.",
        CASE_MOVES,
    ),
    (
        "The mask of an image",
        "core/models/curation.py",
        "A change of the rectangles makes a new mask; the one before is void, and with it what somebody confirmed.",
        MASK_MOVES,
    ),
    (
        "What a model proposes on an image",
        "core/models/proposals.py",
        "Nothing that a model proposes is an ROI until a person says so; what was rejected is kept, as a hard negative.",
        PROPOSAL_MOVES,
    ),
    (
        "A second reading",
        "core/models/reads.py",
        "Until it is handed in, its reader alone sees it, and sees nothing else that was said of the case.",
        READ_MOVES,
    ),
    (
        "A mask rule of the site",
        "core/models/devices.py",
        "Images are masked by the newest published version; an edit changes nothing until it is published as the next one.",
        RULE_MOVES,
    ),
    (
        "A version of a model",
        "core/models/registry.py",
        "In effect is what a named person promoted (at central) or accepted (at a site), one version an organ; an older one rolls back.",
        MODEL_MOVES,
    ),
    (
        "A package on its way",
        "core/models/transfer.py",
        "What comes after SENT the site knows from messages that central signed, and from nothing else.",
        PACKAGE_MOVES,
    ),
    (
        "A parcel at the relay and at central",
        "core/models/transfer.py",
        "The same package as the door sees it: ciphertext that comes in pieces. FORWARDED is the relay's last word.",
        PARCEL_MOVES,
    ),
    (
        "A version of a dataset",
        "core/models/datasets.py",
        "A frozen version never changes; a new one is made instead.",
        VERSION_MOVES,
    ),
    (
        "A training",
        "core/models/training.py",
        "One that runs is asked to stop, and its worker ends it. A worker that dies changes nothing: the next one goes on.",
        TRAINING_MOVES,
    ),
)
_HEAD: Final = """\
# The states

Made from the tables of allowed moves in `core/models/` by `python -m commands.states`, and compared with them by a test.
A move that is in no table is refused, whoever asks. Every move is one permission check, one transaction and one audit event.
"""


def diagram() -> str:
    """The whole document: for each table its words and a Mermaid state diagram, in the order of the code."""
    return "\n".join([_HEAD, *(_section(*table) for table in TABLES)])


def _section(title: str, source: str, words: str, moves: Moves) -> str:
    begins = [state for state in moves if not any(state in targets for targets in moves.values())]
    lines = [f"    [*] --> {state}" for state in begins or list(moves)[:1]]
    for state, targets in moves.items():
        lines += [f"    {state} --> {target}" for target in moves if target in targets]
        if not targets:
            lines.append(f"    {state} --> [*]")
    return "\n".join(
        [f"## {title}", "", f"{words} (`{source}`)", "", "```mermaid", "stateDiagram-v2", *lines, "```", ""]
    )


def main() -> None:
    DOCUMENT.write_text(diagram())


if __name__ == "__main__":
    main()
