"""However frames come and are taken: the newest is taken, none twice, and what was left out is counted."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from core.inference.newest import Newest, Waiting


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30))
def test_the_newest_wins_and_the_rest_are_counted(bursts: list[int]) -> None:
    async def play() -> tuple[list[int], int]:
        newest, taken, number = Newest(), [], 0
        for burst in bursts:
            for _ in range(burst):
                number += 1
                newest.put(Waiting(number, b"", 0.0))
            taken.append((await newest.take()).number)
        return taken, newest.dropped

    taken, dropped = asyncio.run(play())
    ends = [sum(bursts[: place + 1]) for place in range(len(bursts))]
    assert taken == ends
    assert dropped + len(taken) == sum(bursts)


def test_a_reader_waits_until_there_is_one() -> None:
    async def play() -> int:
        newest = Newest()
        reader = asyncio.create_task(newest.take())
        await asyncio.sleep(0)
        assert not reader.done()
        newest.put(Waiting(7, b"x", 0.0))
        return (await reader).number

    assert asyncio.run(play()) == 7
