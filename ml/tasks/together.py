"""One training on several GPUs: `torchrun --nproc-per-node 4 -m commands.main ml train detect …` (docs/training.md).

Synchronous data parallel: every process takes its part of each batch, gradients are averaged, the first one alone writes."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn

PATIENCE = timedelta(hours=2)  # the first process exports and judges while the others wait
T = TypeVar("T")


@dataclass(frozen=True)
class Together:
    """One of `size` processes; alone it does nothing."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def part(self, items: Sequence[T]) -> Sequence[T]:
        """What this process learns from: equally many for each."""
        return items[self.rank : len(items) - len(items) % self.size : self.size]

    def average_gradients(self, network: nn.Module) -> None:
        """Every gradient becomes its mean over the processes."""
        if self.size == 1:
            return
        learned = [one for one in network.parameters() if one.requires_grad]
        for one in learned:
            one.grad = torch.zeros_like(one) if one.grad is None else one.grad
        whole = torch.cat([one.grad.reshape(-1) for one in learned if one.grad is not None])
        dist.all_reduce(whole)
        whole /= self.size
        for one, mean in zip(learned, torch.split(whole, [one.numel() for one in learned]), strict=True):
            one.grad = mean.view_as(one)

    def any(self, flag: bool) -> bool:
        """Whether any process says so: all of them stop at the same batch."""
        if self.size == 1:
            return flag
        said = torch.tensor([float(flag)], device=device())
        dist.all_reduce(said, op=dist.ReduceOp.MAX)
        return bool(said.item())

    def wait(self) -> None:
        if self.size > 1:
            dist.barrier()


def device() -> torch.device:
    """The GPU of this process, else the processor."""
    return (
        torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        if torch.cuda.is_available()
        else torch.device("cpu")
    )


def leads() -> bool:
    """Whether this process is the one that writes and speaks."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def together() -> Iterator[Together]:
    """The processes that torchrun started, each waiting for the last at the end; alone without it."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Together()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(device())
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    try:
        yield Together(dist.get_rank(), size)
        dist.barrier()
    finally:
        dist.destroy_process_group()
