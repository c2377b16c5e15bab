"""Where a classifier looks is where hiding changes its answer."""

from pathlib import Path

import cv2
import numpy as np

from ml.judge.saliency import AGAINST, FOR, drawn, occlusion, png
from ml.runtime import Model
from tests.tiny_models import brightness_classifier, save


def brightness(tmp_path: Path, slope: float) -> Model:
    """Two classes, the second the surer the brighter the region is."""
    content = brightness_classifier(32, [0, slope], [0, 0])
    box = {"resize": "crop", "margin": 0.0}
    return Model.open(
        save(tmp_path, content, side=32, task="classify", decode="softmax", classes=["a", "b"], input=box)
    )


def test_what_makes_the_answer_is_red_and_the_rest_blue(tmp_path: Path) -> None:
    rgb = np.full((64, 64, 3), 20, np.uint8)
    rgb[8:20, 40:52] = 250
    looked = occlusion(brightness(tmp_path, 4), rgb, (0, 0, 64, 64), [1])
    top, left = np.unravel_index(looked.heat.argmax(), looked.heat.shape)
    assert 2 <= top < 11 and 18 <= left < 28, "on the bright square, 4 to 10 and 20 to 26 of the network's 32 pixels"
    assert looked.heat[16:, :16].max() < 0 and 0.5 < looked.score < 1
    picture = drawn(looked)
    assert picture[top, left].astype(int) @ (1, 0, -1) > 20 and picture[30, 2].astype(int) @ (1, 0, -1) < 0
    assert FOR[0] > FOR[2] and AGAINST[0] < AGAINST[2]


def test_a_network_that_looks_at_nothing_leaves_the_picture_as_it_is(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    looked = occlusion(brightness(tmp_path, 0), rgb, None, [1])
    assert not looked.heat.any() and np.array_equal(drawn(looked), looked.seen)
    again = cv2.cvtColor(cv2.imdecode(np.frombuffer(png(looked.seen), np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.array_equal(again, looked.seen)
