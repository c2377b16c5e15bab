"""Which points of the feature maps answer for which box, and the loss: task-aligned learning (TOOD, arXiv:2108.07755)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import box_iou, generalized_box_iou_loss

CANDIDATES = 10
SCORE_POWER, OVERLAP_POWER = 1.0, 6.0
BOX_WEIGHT = 2.0


def assign(scores: Tensor, boxes: Tensor, points: Tensor, kinds: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """The box of each point (index, -1 for none) and how good an answer the point gives, 0 to 1.

    scores (points, classes) after the sigmoid, boxes (points, 4) and truth (n, 4) as x0 y0 x1 y1 px, points (points, 2)
    x y px, kinds (n,). A point may answer for a box that it lies in; of those the ten best in score and overlap do. A
    box in which no point lies is answered by the nearest point."""
    count = len(truth)
    if count == 0:
        return scores.new_full((len(points),), -1, dtype=torch.long), scores.new_zeros(len(points))
    overlap = box_iou(truth, boxes).clamp(0)  # (n, points)
    low, high = points[None] - truth[:, None, :2], truth[:, None, 2:] - points[None]
    inside = torch.cat([low, high], dim=2).amin(dim=2) > 0
    lonely = ~inside.any(dim=1)
    if lonely.any():
        middle = (truth[lonely, :2] + truth[lonely, 2:]) / 2
        inside[lonely.nonzero().flatten(), torch.cdist(middle, points).argmin(dim=1)] = True
    fit = scores[:, kinds].T.pow(SCORE_POWER) * overlap.pow(OVERLAP_POWER) + 1e-9
    fit = torch.where(inside, fit, torch.zeros_like(fit))
    best = fit.topk(min(CANDIDATES, len(points)), dim=1)
    chosen = torch.zeros_like(inside).scatter_(1, best.indices, best.values > 0)
    owner = torch.where(chosen, overlap, overlap.new_tensor(-1.0)).max(dim=0)
    taken = torch.where(owner.values >= 0, owner.indices, -1)
    mine = chosen & (taken[None] == torch.arange(count)[:, None])
    fit = torch.where(mine, fit, torch.zeros_like(fit))
    # The best point of a box is as good as its overlap, the others in proportion.
    top, reach = fit.amax(dim=1, keepdim=True), torch.where(mine, overlap, 0.0).amax(dim=1, keepdim=True)
    return taken, (fit / (top + 1e-12) * reach).amax(dim=0)


def detection_loss(logits: Tensor, boxes: Tensor, points: Tensor, targets: Sequence[Tensor]) -> Tensor:
    """One number for a batch: cross-entropy of scores with the quality of each point, and 1 - GIoU of its box.

    logits (b, points, classes), boxes (b, points, 4), points (points, 2); targets a tensor (n, 5) an image: class, x0,
    y0, x1, y1 in px of the input."""
    wanted = torch.zeros_like(logits)
    found, true, weights = [], [], []
    for number, target in enumerate(targets):
        kinds, truth = target[:, 0].long(), target[:, 1:]
        with torch.no_grad():
            taken, quality = assign(logits[number].sigmoid(), boxes[number], points, kinds, truth)
        mine = taken >= 0
        wanted[number, mine, kinds[taken[mine]]] = quality[mine]
        found.append(boxes[number][mine])
        true.append(truth[taken[mine]])
        weights.append(quality[mine])
    weight = torch.cat(weights)
    total = wanted.sum().clamp(min=1.0)
    scores = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")
    overlap = generalized_box_iou_loss(torch.cat(found), torch.cat(true), reduction="none")
    loss: Tensor = (scores + BOX_WEIGHT * (overlap * weight).sum()) / total
    return loss
