"""Shapes as the path of an SVG in pixels of the stored frame."""

from typing import Final

from core.curation.shapes import CLOSED, Shape, outline

_DOT: Final = 3.0


def path_of(shape: Shape) -> str:
    """The `d` of a path: a closed outline, an open one, or a cross on every point (callipers are joined)."""
    if shape.kind in CLOSED:
        return _line(outline(shape)) + "Z"
    if shape.kind == "line":
        return _line(shape.points)
    crosses = "".join(f"M{x - _DOT:.2f} {y:.2f}h{2 * _DOT}M{x:.2f} {y - _DOT:.2f}v{2 * _DOT}" for x, y in shape.points)
    return (_line(shape.points) if len(shape.points) > 1 else "") + crosses


def _line(points: tuple[tuple[float, float], ...]) -> str:
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points)
