"""The baseline of ten weight layers: eight convolutions and two full layers, 0.5 million weights, trained from nothing."""

from torch import Tensor, nn

_WIDTHS = (24, 24, 48, 48, 96, 96, 128, 128)


class Cnn10(nn.Module):
    """(b, 3, h, w) -> (b, classes) logits; any sides from 32 on."""

    def __init__(self, classes: int, dropout: float = 0.3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = 3
        for number, out in enumerate(_WIDTHS):
            layers += [nn.Conv2d(inside, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
            if number % 2:
                layers.append(nn.MaxPool2d(2))
            inside = out
        self.layers = nn.Sequential(*layers)
        self.hidden, self.dropout, self.last = nn.Linear(2 * inside, 64), nn.Dropout(dropout), nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.layers(x)
        # Mean and peak: how the lesion is on the whole, and its most telling spot.
        pooled = self.dropout(Pool.both(maps))
        found: Tensor = self.last(self.dropout(nn.functional.relu(self.hidden(pooled))))
        return found


class Pool:
    """Global pooling that exports to fixed ONNX operators."""

    @staticmethod
    def both(maps: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, 2 c): mean and maximum."""
        from torch import cat

        return cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)
