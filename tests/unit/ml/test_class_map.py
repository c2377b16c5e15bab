"""Class maps: the first that knows every label is taken; what no map knows stands for itself."""

import pytest

from ml.class_map import fitting, maps
from ml.data import BadFolder


def test_maps_are_sound() -> None:
    names = [one.name for one in maps()]
    assert len(set(names)) == len(names) and "liver-four-1" in names
    for one in maps():
        assert set(one.of.values()) == set(one.classes) and not set(one.left_out) & {*one.of}
        assert all(set(group) < set(one.classes) for group in one.derived.values())


def test_the_map_of_a_folder() -> None:
    breast = fitting(["benign", "malignant", "normal"])
    assert breast.classes == ("benign", "malignant") and breast.positive == ("malignant",)
    assert fitting(["LIV-HCC", "LIV-MET", "LIV-CYST"]).positive == ("HCC", "metastasis")
    assert fitting(["BA", "non-BA"]).positive == ("BA",)
    own = fitting(["b", "a", ""])
    assert own.classes == ("a", "b") and own.derived == {} and own.positive == ("b",)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(BadFolder, match="fewer than two"):
        fitting(["cyst"])
    with pytest.raises(BadFolder, match="does not know every label"):
        fitting(["benign", "LIV-HCC"], "liver-four-1")
    with pytest.raises(BadFolder, match="no class map"):
        fitting(["benign", "malignant"], "heart-1")
