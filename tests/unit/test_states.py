"""The tables of allowed moves are complete, everything can be reached, and the document shows them as they are."""

from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.states import DOCUMENT, TABLES, Moves, diagram
from core.models.curation import MASK_MOVES, MaskState
from core.models.datasets import VERSION_MOVES, VersionState
from core.models.devices import RULE_MOVES, RuleState
from core.models.proposals import PROPOSAL_MOVES, ProposalState
from core.models.reads import HANDED_IN, OPEN, READ_MOVES, ReadState
from core.models.registry import MODEL_MOVES, ModelState
from core.models.sitecase import CASE_MOVES, CaseState
from core.models.training import TRAINING_MOVES, TrainingState
from core.models.transfer import PACKAGE_MOVES, PARCEL_MOVES, PackageState, ParcelState

FINAL: dict[type[StrEnum], set[StrEnum]] = {
    CaseState: {CaseState.WITHDRAWN},
    MaskState: {MaskState.VOID},
    RuleState: {RuleState.RETIRED},
    ReadState: {ReadState.ADJUDICATED, ReadState.CANCELLED},
    PackageState: {
        PackageState.QUARANTINED, PackageState.REPLICATED, PackageState.TAKEN_BACK, PackageState.HELD,
    },
    ParcelState: {ParcelState.FORWARDED, ParcelState.ACCEPTED, ParcelState.QUARANTINED, ParcelState.REFUSED},
    ProposalState: {ProposalState.ACCEPTED, ProposalState.REJECTED},
    VersionState: {VersionState.FROZEN, VersionState.FAILED},
    ModelState: set(),
    TrainingState: {TrainingState.DONE, TrainingState.FAILED, TrainingState.CANCELLED},
}  # fmt: skip
# What is never over: an older model can come back, so "retired" is where all of them lead to.
ENDLESS: dict[type[StrEnum], set[StrEnum]] = {ModelState: {ModelState.RETIRED}}
BEGINS: dict[type[StrEnum], set[StrEnum]] = {
    CaseState: {CaseState.FLAGGED, CaseState.DEFERRED, CaseState.QUEUED},
    MaskState: {MaskState.PROPOSED},
    RuleState: {RuleState.DRAFT},
    ProposalState: {ProposalState.PROPOSED},
    ReadState: {ReadState.ASSIGNED},
    PackageState: {PackageState.BUILDING},
    ParcelState: {ParcelState.RECEIVING},
    VersionState: {VersionState.BUILDING},
    ModelState: {ModelState.REGISTERED},
    TrainingState: {TrainingState.QUEUED},
}
MOVES: dict[type[StrEnum], Moves] = {
    CaseState: CASE_MOVES,
    MaskState: MASK_MOVES,
    RuleState: RULE_MOVES,
    ProposalState: PROPOSAL_MOVES,
    ReadState: READ_MOVES,
    PackageState: PACKAGE_MOVES,
    ParcelState: PARCEL_MOVES,
    VersionState: VERSION_MOVES,
    ModelState: MODEL_MOVES,
    TrainingState: TRAINING_MOVES,
}


@pytest.mark.parametrize("states", MOVES, ids=lambda states: states.__name__)
class TestEachTable:
    def test_every_state_is_a_row(self, states: type[StrEnum]) -> None:
        assert set(MOVES[states]) == set(states)

    def test_every_target_is_a_state_and_no_move_stands_still(self, states: type[StrEnum]) -> None:
        for state, targets in MOVES[states].items():
            assert all(type(target) is states for target in targets)
            assert state not in targets

    def test_the_final_states_are_the_known_ones(self, states: type[StrEnum]) -> None:
        assert {state for state, targets in MOVES[states].items() if not targets} == FINAL[states]

    def test_every_state_can_be_reached_and_leads_to_an_end(self, states: type[StrEnum]) -> None:
        moves = MOVES[states]
        assert reached(moves, BEGINS[states]) == set(states)
        for state in states:
            assert reached(moves, {state}) & (FINAL[states] or ENDLESS[states])

    def test_it_is_in_the_document(self, states: type[StrEnum]) -> None:
        assert MOVES[states] in [table for *_, table in TABLES]


def reached(moves: Moves, begins: set[StrEnum]) -> set[StrEnum]:
    found, todo = set(begins), list(begins)
    while todo:
        todo += (new := set(moves[todo.pop()]) - found)
        found |= new
    return found


def test_every_case_can_be_withdrawn() -> None:
    for state in set(CaseState) - {CaseState.WITHDRAWN}:
        assert CaseState.WITHDRAWN in CASE_MOVES[state]


def test_a_void_mask_never_lives_again() -> None:
    assert all(MaskState.PROPOSED not in targets for targets in MASK_MOVES.values())


def test_a_reading_that_was_handed_in_never_opens_again() -> None:
    for state in HANDED_IN:
        assert not reached(READ_MOVES, {state}) & OPEN
    assert set(ReadState) - OPEN - HANDED_IN == {ReadState.CANCELLED}


@given(st.data())
def test_a_package_that_was_sent_is_never_taken_back(data: st.DataObject) -> None:
    """Whatever way it goes, what has left is moved by central's answers alone."""
    state, was_sent = PackageState.BUILDING, False
    while PACKAGE_MOVES[state]:
        state = data.draw(st.sampled_from(sorted(PACKAGE_MOVES[state])))
        was_sent |= state is PackageState.SENT
        assert not (was_sent and state in {PackageState.TAKEN_BACK, PackageState.STAGED, PackageState.HELD})


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == diagram(), "write it again: python -m commands.states"


def test_the_document_shows_every_move() -> None:
    text = diagram()
    for moves in MOVES.values():
        for state, targets in moves.items():
            assert all(f"    {state} --> {target}\n" in text for target in targets)
