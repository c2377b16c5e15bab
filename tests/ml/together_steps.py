"""What each process of test_together does: steps on pictures of its own, and the digest of what it learned as FOLDER/RANK."""

import hashlib
import sys
from pathlib import Path

import torch

from ml.run_folder import Run
from ml.tasks.detect import Recipe, begin, prepare, step
from ml.tasks.together import together


def main(folder: Path) -> None:
    recipe = Recipe(size=64, batch=4)
    with together() as group:
        prepare(0)
        state = begin(recipe, 1, Run(folder), group)
        chance = torch.Generator().manual_seed(group.rank)
        for number in range(3):
            images = torch.rand(2, 3, 64, 64, generator=chance)
            box = torch.tensor([[0.0, 4.0 + group.rank, 8.0, 40.0, 44.0]])
            step(state, recipe, 1.0, images, [box, box[:0] if number == group.rank else box])
        learned = [one.detach().numpy().tobytes() for one in state.detector.network.parameters()]
        (folder / str(group.rank)).write_text(hashlib.sha256(b"".join(learned)).hexdigest())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
