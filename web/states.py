"""How a state is shown beside its word: one of five shapes, each with its own colour."""

from enum import StrEnum
from typing import Final

from core.models.datasets import VersionState
from core.models.reads import ReadState
from core.models.registry import ModelState
from core.models.sitecase import CaseState
from core.models.training import TrainingState
from core.models.transfer import PackageState


class Tone(StrEnum):
    """`stop` alone is red; colour never says anything that the shape and the word do not."""

    WAIT = "wait"
    WORK = "work"
    DONE = "done"
    STOP = "stop"
    OFF = "off"


_C, _P, _R, _V = CaseState, PackageState, ReadState, VersionState
TONES: Final[dict[str, Tone]] = {
    _C.FLAGGED: Tone.WAIT,
    _C.DEFERRED: Tone.WAIT,
    _C.QUEUED: Tone.WAIT,
    _C.RETRIEVING: Tone.WORK,
    _C.RETRIEVE_FAILED: Tone.STOP,
    _C.CURATING: Tone.WORK,
    _C.REGISTERED: Tone.DONE,
    _C.EXCLUDED: Tone.OFF,
    _C.RECALLED: Tone.OFF,
    _C.WITHDRAWN: Tone.OFF,
    _P.BUILDING: Tone.WORK,
    _P.DEIDENTIFIED: Tone.WORK,
    _P.STAGED: Tone.WAIT,
    _P.SENT: Tone.WORK,
    _P.SEND_FAILED: Tone.STOP,
    _P.RECEIVED: Tone.WORK,
    _P.ACCEPTED: Tone.DONE,
    _P.QUARANTINED: Tone.STOP,
    _P.REPLICATED: Tone.DONE,
    _P.TAKEN_BACK: Tone.OFF,
    _P.HELD: Tone.STOP,
    _R.ASSIGNED: Tone.WAIT,
    _R.READING: Tone.WORK,
    _R.SUBMITTED: Tone.DONE,
    _R.ADJUDICATED: Tone.DONE,
    _R.CANCELLED: Tone.OFF,
    _V.BUILDING: Tone.WORK,
    _V.FROZEN: Tone.DONE,
    _V.FAILED: Tone.STOP,
    ModelState.PROMOTED: Tone.DONE,
    TrainingState.QUEUED: Tone.WAIT,
    TrainingState.RUNNING: Tone.WORK,
    TrainingState.DONE: Tone.DONE,
    TrainingState.FAILED: Tone.STOP,
    TrainingState.CANCELLED: Tone.OFF,
    ModelState.RETIRED: Tone.OFF,
}
