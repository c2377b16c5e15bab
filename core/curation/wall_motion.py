"""Wall motion of the left ventricle: the 17 segments of the AHA and the wall motion score index.

Segments: M. D. Cerqueira et al., Circulation 105:539 (2002). Scores and index: Lang et al. 2015 (see volumes.py):
1 normal or more, 2 hypokinetic, 3 akinetic, 4 dyskinetic; the index is the mean of the segments that were seen. The
tip of the apex (17) hardly moves, so the 16 segments without it may be scored alone. Names are in the code lists."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from core.errors import BadConfiguration, Malformed
from core.vocabulary import codelists
from core.vocabulary.schema import Option

LIST: Final = Path(codelists.__file__).parent / "lists" / "echo_wall_motion.tsv"
SEGMENTS: Final = 17
# Scores by the code of the finding; the old score of 5 for an aneurysm counts as dyskinetic. The rest was not seen.
SCORES: Final[Mapping[str, int]] = {
    "373122000": 1,
    "373123005": 1,
    "371868005": 2,
    "371869002": 2,
    "371870001": 2,
    "37706002": 2,
    "195675009": 3,
    "25437005": 4,
    "WM-ANEU": 4,
}
NOT_EVALUATED: Final = "373121007"  # nobody has looked yet: an answer that holds it is not whole
NOT_SEEN: Final = frozenset({"122288", NOT_EVALUATED, "261665006"})


@dataclass(frozen=True)
class WallMotion:
    """The index, from 1 (normal) to 4, over so many segments; None when none was seen."""

    score_index: float | None
    scored: int
    not_seen: int


@cache
def segments() -> Mapping[int, Option]:
    """The 17 segments by number, with code and names; raises BadConfiguration when the list does not hold them."""
    found = {}
    for option in codelists.read(LIST):
        if number := re.match(r"(\d+) ", option.label.ja):
            found[int(number.group(1))] = option
    if sorted(found) != list(range(1, SEGMENTS + 1)):
        raise BadConfiguration("The list of wall motion does not hold the 17 segments.")
    return found


def score_index(findings: Mapping[int, str]) -> WallMotion:
    """The index of findings (codes of the list) by segment (1 to 17); a segment that is not there was not seen.

    Raises Malformed for a segment or a finding that there is not."""
    if not set(findings) <= set(segments()) or not set(findings.values()) <= SCORES.keys() | NOT_SEEN:
        raise Malformed("There is no such segment or finding of wall motion.")
    scores = [SCORES[code] for code in findings.values() if code in SCORES]
    mean = sum(scores) / len(scores) if scores else None
    return WallMotion(mean, len(scores), SEGMENTS - len(scores))


def of_answer(findings: Sequence[str]) -> WallMotion:
    """The index of a form's answer: one finding for each segment, in their order. Raises Malformed as `score_index`."""
    if len(findings) != SEGMENTS:
        raise Malformed("Wall motion is a finding for each of the 17 segments.")
    return score_index(dict(enumerate(findings, 1)))


def by_finding(findings: Sequence[str]) -> dict[str, list[int]]:
    """{finding: its segments} of a form's answer, in the order of the segments: what a person reads at a glance."""
    found: dict[str, list[int]] = {}
    for segment, code in enumerate(findings, 1):
        found.setdefault(code, []).append(segment)
    return found
