"""A run over a folder: look at every file, then work on those that are not done yet, on all cores."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from itertools import islice
from typing import Any, Final, TypeVar

from core.deid.headers import METHOD
from core.deid.text_line import READER
from core.dicom.facts import InstanceIdentity
from core.dicom.quiet import PARSER_ERRORS
from core.errors import Held, Refused
from core.folder import confirmations, texts
from core.folder.drafts import passing_key
from core.folder.linkage import Linkage
from core.folder.one_file import Bench, Status, first_look, make
from core.folder.places import Places
from core.folder.rules import Rules
from core.folder.walk import CHANGED, UNREADABLE, Found, Unchanged, walk
from core.sandbox import CLOSING, UNSAFE, Sandbox

ODD: Final = "The file cannot be worked on: its values are not as they should be."
# What may be otherwise the next time, such as a child that was killed with the run: tried again then.
_PASSING: Final = frozenset({UNSAFE, CLOSING, CHANGED, UNREADABLE})
_AHEAD: Final = 4
_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True)
class Options:
    """`confirmed_by`: who confirms the known devices of this run, all at once; None: nobody does.

    `study_is_patient`: files without PatientID are of a patient of their own study instead of refused."""

    rules: Rules
    jobs: int
    confirmed_by: str | None = None
    study_is_patient: bool = False

    @property
    def recipe(self) -> str:
        """Names how files are worked on: one that was worked on otherwise is worked on again."""
        parts = [METHOD, READER, self.rules.version, self.study_is_patient]
        return sha256(json.dumps(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Outcome:
    """What became of one file. `input` is its path in IN, `output` in OUT; `is_new`: written in this run."""

    input: str
    status: Status
    reason: str | None
    output: str | None = None
    rule: str | None = None
    masks: tuple[tuple[int, int, int, int], ...] = ()
    is_confirmed: bool = False
    is_new: bool = False


@dataclass
class Progress:
    """`total` files of which `done` are finished; `step` is what is done with them now."""

    step: str
    total: int
    done: int = 0


@dataclass(frozen=True)
class _Looked:
    """What a first look at a file gave: its content key and patient, or the `problem` for which it is refused."""

    file: Unchanged
    problem: str | None = None
    content: bytes = b""
    patient: bytes = b""
    identity: InstanceIdentity = field(default_factory=InstanceIdentity)
    record: Mapping[str, Any] | None = None


def run(places: Places, options: Options, tell: Callable[[Progress], None]) -> list[Outcome]:
    """Work through IN; the outcomes are in the order of the walk. `tell` is called after every file, from one thread.

    Raises Conflict, BadConfiguration or Unavailable when the run cannot go on; what is done until then stays done."""
    keys = places.open_keys()
    with places.occupied():
        linkage = Linkage(places.keys, keys)
        pool = ThreadPoolExecutor(options.jobs, "deid")
        try:
            with Sandbox(size=options.jobs) as decoders, texts.readers(options.jobs) as readers:
                bench = Bench(
                    places.out, places.work, linkage, options.rules, decoders, readers, options.jobs, passing_key(),
                    options.confirmed_by is not None, options.study_is_patient,
                )  # fmt: skip
                return _Run(bench, options, pool, tell).outcomes(list(walk(places.source)), places)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            linkage.close()


class _Run:
    def __init__(
        self, bench: Bench, options: Options, pool: ThreadPoolExecutor, tell: Callable[[Progress], None]
    ) -> None:
        self._bench, self._options, self._pool, self._tell = bench, options, pool, tell

    def outcomes(self, found: Sequence[Found], places: Places) -> list[Outcome]:
        looked = {one.name: one_look for one, one_look in self._each("looking", found, self._look)}
        people: dict[bytes, list[InstanceIdentity]] = {}
        waiting: dict[bytes, _Looked] = {}
        done: dict[bytes, Mapping[str, Any]] = {}
        for one in looked.values():
            if one.record is not None:
                done[one.content] = one.record
            elif one.problem is None:
                waiting.setdefault(one.content, one)  # the same bytes under two names are one image
                people.setdefault(one.patient, []).append(one.identity)
        for patient, identities in people.items():
            self._bench.linkage.learn(patient, identities)
        for work, record in self._each("working", list(waiting.values()), self._work):
            done[work.content] = record
        confirmations.confirm(places.keys, self._bench.linkage, done, self._options.confirmed_by)
        return [_outcome(one, looked[one.name], done, looked[one.name].content in waiting) for one in found]

    def _each(self, step: str, things: Sequence[_In], work: Callable[[_In], _Out]) -> Iterator[tuple[_In, _Out]]:
        """(thing, what came of it) as they get ready; a bounded number waits, so that a stopped run stops at once."""
        progress, rest = Progress(step, len(things)), iter(things)
        self._tell(progress)
        first = islice(rest, _AHEAD * self._options.jobs)
        pending: dict[Future[_Out], _In] = {self._pool.submit(work, thing): thing for thing in first}
        while pending:
            ready, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in ready:
                thing = pending.pop(future)
                for more in islice(rest, 1):
                    pending[self._pool.submit(work, more)] = more
                progress.done += 1
                yield thing, future.result()
                self._tell(progress)

    def _look(self, found: Found) -> _Looked:
        """Whose the file is and whether it was done before. A file that is no ultrasound image is refused here."""
        file = Unchanged(found.path)
        if found.problem is not None:
            return _Looked(file, found.problem)
        try:
            identity, digest = first_look(file)
            content = self._bench.linkage.content_key(digest)
            patient = self._bench.linkage.patient_key(identity, study_is_patient=self._options.study_is_patient)
        except Refused as refusal:
            return _Looked(file, refusal.message)
        except PARSER_ERRORS:
            return _Looked(file, ODD)
        record = self._bench.linkage.record(content)
        return _Looked(file, None, content, patient, identity, record if record and self._stands(record) else None)

    def _stands(self, record: Mapping[str, Any]) -> bool:
        """Whether what an earlier run did is what this run would do, and is still there."""
        if record["recipe"] != self._options.recipe:
            return False
        if record["status"] != Status.CANDIDATE:
            return True
        wants = self._options.confirmed_by is not None
        if record["is_confirmed"] != (record["is_sure"] and wants) and not record.get("batch"):
            return False
        output = self._bench.out / record["output"]
        if output.is_symlink() or not output.is_file():
            return False
        with output.open("rb") as file:
            return bool(file_digest(file, "sha256").hexdigest() == record["sha256"])

    def _work(self, looked: _Looked) -> Mapping[str, Any]:
        linkage = self._bench.linkage
        before = linkage.record(looked.content)
        if before is not None and before.get("output"):
            (self._bench.out / before["output"]).unlink(missing_ok=True)
        try:
            source, size = looked.file.open()
            with source:
                record = make(self._bench, source, size, looked.content)
        except Held as hold:
            record = {"status": Status.HELD, "reason": hold.message}
        except Refused as refusal:
            record = {"status": Status.REFUSED, "reason": refusal.message}
        except PARSER_ERRORS:
            record = {"status": Status.REFUSED, "reason": ODD}
        record["recipe"] = self._options.recipe
        if record["reason"] not in _PASSING:
            linkage.remember(looked.content, record)
        return record


def _outcome(found: Found, looked: _Looked, done: Mapping[bytes, Mapping[str, Any]], is_new: bool) -> Outcome:
    if looked.problem is not None:
        return Outcome(found.name, Status.REFUSED, looked.problem)
    record = done[looked.content]
    return Outcome(
        found.name,
        Status(record["status"]),
        record["reason"],
        record.get("output"),
        record.get("rule"),
        tuple((x, y, width, height) for x, y, width, height in record.get("masks", ())),
        bool(record.get("is_confirmed")),
        is_new and record["status"] == Status.CANDIDATE,
    )
