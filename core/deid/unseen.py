"""What a candidate of the folder command says of itself in Deidentification Method (0012,0063), behind our own method."""

from typing import Final

UNSEEN: Final = "rule-masked, not seen by a person"
DEVICE_CONFIRMED: Final = "rule-masked, device confirmed by a person, not seen one by one"
MARKS: Final = frozenset({UNSEEN, DEVICE_CONFIRMED})
