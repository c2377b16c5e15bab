"""Undo and redo are two stacks, read from what was saved: whatever a person does, they say what an editor would."""

from typing import Any
from uuid import uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from core.models.curation import Edit, How
from core.services.steps_back import stacks


def an_edit(how: How = How.DO, of: Edit | None = None) -> Edit:
    known: dict[str, Any] = {"case_id": uuid4(), "kind": "roi", "object_id": uuid4(), "version": 1, "by": uuid4()}
    return Edit(**known, how=how, of=of.id if of else None)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["do", "undo", "redo"]), max_size=30))
def test_what_was_saved_gives_the_two_stacks_back(deeds: list[str]) -> None:
    saved: list[Edit] = []
    done: list[Edit] = []
    undone: list[Edit] = []
    for deed in deeds:
        if deed == "do":
            saved.append(an_edit())
            done.append(saved[-1])
            undone = []
        elif deed == "undo" and done:
            undone.append(done.pop())
            saved.append(an_edit(How.UNDO, undone[-1]))
        elif deed == "redo" and undone:
            done.append(undone.pop())
            saved.append(an_edit(How.REDO, done[-1]))
        assert stacks(saved) == (done, undone)


def test_a_step_of_an_edit_that_is_not_ones_own_is_none() -> None:
    assert stacks([an_edit(How.UNDO, an_edit())]) == ([], [])
