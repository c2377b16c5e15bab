"""Masks the frames of one image in several sandbox children at once; they come back in order, and memory stays flat."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from core.deid.batches import batches
from core.deid.candidate import MaskedFrame, Plan
from core.sandbox import Caller

_TARGET: Final = "core.deid.candidate:sandboxed_mask"


def masked_frames(sandbox: Caller, frames: Iterable[bytes], plan: Plan, workers: int) -> Iterator[MaskedFrame]:
    """Every stored frame masked by `core.deid.candidate:sandboxed_mask`, in the order of `frames`.

    `workers` calls run at a time, so the sandbox should have as many children; `frames` is read by the caller's thread,
    two batches a worker ahead of what it has taken. Raises what the sandbox raises for the first bad frame; then, and
    when the iterator is closed early, nothing more is started and the calls under way are waited for."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="mask")
    waiting: deque[Future[list[MaskedFrame]]] = deque()
    try:
        for batch in batches(frames, plan.format):
            waiting.append(pool.submit(_masked, sandbox, plan, batch))
            if len(waiting) > 2 * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _masked(sandbox: Caller, plan: Plan, batch: list[bytes]) -> list[MaskedFrame]:
    params, blobs = plan.request(*batch)
    return plan.responses(*sandbox.call(_TARGET, params, blobs), expected=len(batch))
