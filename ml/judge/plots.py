"""Plots as SVG text for reports: the same figures give the same bytes. Matplotlib without its global state."""

import io
import re
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

_INK, _LIGHT = "#1f4e79", "#9aa5b1"


def _drawn(figure: Figure) -> str:
    """The SVG element alone, without declarations, dates or foreign addresses in metadata."""
    FigureCanvasSVG(figure)
    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "sonobank", "svg.fonttype": "path"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    text = out.getvalue()
    return re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)


def _square(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(3.6, 3.6))
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=_LIGHT, linewidth=1, linestyle="--")
    axes.set(title=title, xlabel=x, ylabel=y, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return figure, axes


def roc(points: Sequence[Sequence[float]], at: tuple[float, float] | None) -> str:
    """points: false positive rate, sensitivity; `at`: 1 - specificity and sensitivity at the threshold."""
    figure, axes = _square("ROC", "1 - specificity", "sensitivity")
    axes.plot([p[0] for p in points], [p[1] for p in points], color=_INK)
    if at is not None:
        axes.plot([at[0]], [at[1]], "o", color=_INK)
    return _drawn(figure)


def reliability(points: Sequence[Sequence[float]]) -> str:
    """points: mean probability, share of positives, number of samples in the bin."""
    figure, axes = _square("Calibration", "probability said", "share that was positive")
    most = max((p[2] for p in points), default=1)
    axes.scatter([p[0] for p in points], [p[1] for p in points], s=[10 + 90 * p[2] / most for p in points], color=_INK)
    return _drawn(figure)


def answered(curve: Sequence[dict[str, float]]) -> str:
    """Accuracy of what is answered when the least certain are left to a person."""
    figure = Figure(figsize=(3.6, 3.6))
    axes = figure.add_subplot()
    for name, style in (("accuracy", "-"), ("sensitivity", "--"), ("specificity", ":")):
        points = [(point["answered"], point[name]) for point in curve if name in point]
        axes.plot([p[0] for p in points], [p[1] for p in points], style, color=_INK, label=name)
    axes.set(title="Abstention", xlabel="share that is answered", ylabel="figure of what is answered")
    axes.invert_xaxis()
    axes.legend()
    return _drawn(figure)


def precision_recall(points: dict[str, Sequence[float | None]], at: tuple[float | None, float | None]) -> str:
    """points: recall and precision at each score; `at`: those of the threshold."""
    figure = Figure(figsize=(3.6, 3.6))
    axes = figure.add_subplot()
    pairs = [
        (r, p) for r, p in zip(points["recall"], points["precision"], strict=True) if r is not None and p is not None
    ]
    axes.plot([r for r, _ in pairs], [p for _, p in pairs], color=_INK)
    if at[0] is not None and at[1] is not None:
        axes.plot([at[0]], [at[1]], "o", color=_INK)
    axes.set(title="Boxes, IoU 0.5", xlabel="recall", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return _drawn(figure)


def recall_by_false(points: dict[str, Sequence[float | None]]) -> str:
    """Recall over false boxes on a normal image, up to two."""
    figure = Figure(figsize=(3.6, 3.6))
    axes = figure.add_subplot()
    pairs = [(f, r) for f, r in zip(points["false"], points["recall"], strict=True) if f is not None and r is not None]
    axes.plot([f for f, _ in pairs], [r for _, r in pairs], color=_INK)
    axes.set(title="Finding and false alarms", xlabel="false boxes a normal image", ylabel="recall, IoU 0.5")
    axes.set(xlim=(-0.02, 2.0), ylim=(-0.02, 1.02))
    return _drawn(figure)


def ejection(pairs: Sequence[tuple[float, float]]) -> str:
    """pairs: EF in percent as it is told, and as the model says; on the line both are the same."""
    figure = Figure(figsize=(3.6, 3.6))
    axes = figure.add_subplot()
    axes.plot([0, 100], [0, 100], color=_LIGHT, linewidth=1, linestyle="--")
    axes.scatter([told for told, _ in pairs], [said for _, said in pairs], s=14, color=_INK)
    axes.set(title="Ejection fraction", xlabel="told, %", ylabel="said, %", xlim=(0, 100), ylim=(0, 100))
    return _drawn(figure)


def table_of(rows: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """The confusion matrix; rows are the truth."""
    figure = Figure(figsize=(3.6, 3.6))
    axes = figure.add_subplot()
    axes.imshow(rows, cmap="Blues")
    most = max((n for row in rows for n in row), default=0)
    for y, row in enumerate(rows):
        for x, count in enumerate(row):
            axes.text(x, y, str(count), ha="center", va="center", color="white" if count > most / 2 else "black")
    axes.set(title="Confusion", xlabel="said", ylabel="truth")
    axes.set_xticks(range(len(classes)), classes, rotation=30, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    return _drawn(figure)
