"""The report of a judgement: report.json, a page without scripts that needs nothing else, and a model card.

Other tasks hand in their own plots and rows; the frame, the seed's table and its caveat are the same."""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml.run_folder import replace

SEED = (
    ("Liver, four classes, still", "accuracy 83.6 %", "10-layer CNN, part of 60,000 images, each augmented tenfold"),
    ("Liver, benign or malignant", "accuracy 88.9 %, sensitivity 78.6 %, specificity 92.5 %", "as above"),
    ("Liver, detection, cyst or not", "recall .816, precision .792, F .805", "YOLOv3 and a CNN on 10,017 patches"),
    ("Breast, four classes, still", "accuracy 87.1 %", "part of 20,000 images"),
    ("Breast, benign or malignant", "accuracy 91.6 %, sensitivity 93.6 %, specificity 89.2 %", "as above"),
    ("Breast, detection", "recall .986, precision .876, F .926", "4,691 images for training, 587 for verification"),
)
CAVEAT = (
    "The seed's figures come from other, larger, in-house data, by image and without intervals; how patients were split is "
    "not told. They are no targets for this data and the two columns cannot be compared as better or worse."
)
LOOKED = (
    "Squares of each region were hidden one after the other. Red: hidden, it would look less like the positive class; blue: "
    "more. The surest of each kind, right and wrong. It shows what the network leans on, not why a lesion is what it is."
)
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1b2733}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}td,th{border:1px solid #c5ced8;padding:.25rem .6rem;text-align:left}
.plots{display:flex;flex-wrap:wrap;gap:1rem}.plots svg{width:20rem;height:auto}.note{color:#5a6875}
figure{margin:0;width:12rem}figure img{width:100%;image-rendering:auto}figcaption{font-size:13px}"""


def write(out: Path, result: Mapping[str, Any], looked: Sequence[tuple[bytes, str]] = ()) -> None:
    """Fill the folder OUT with the report of a result as `evaluate` gives it; `looked`: PNG and caption of where it looks."""
    out.mkdir(parents=True, exist_ok=True)
    replace(out / "report.json", (json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
    replace(out / "report.html", page(result, plots(result), looked).encode())
    replace(out / "card.md", card(result).encode())


def plots(result: Mapping[str, Any]) -> list[str]:
    """SVG elements of a result; none for results without curves."""
    if not {"curves", "pr", "ef"} & result.keys():
        return []
    from ml.judge import plots as draw  # Matplotlib is slow to load

    if "ef" in result:
        pairs = [(one["told"], one["said"]) for one in result["ef"] if None not in (one["told"], one["said"])]
        table = result["confusion"]
        return [draw.ejection(pairs), draw.table_of(table["rows_are_truth"], table["classes"])]
    if "pr" in result:
        found, points = result["metrics"], result["pr"]
        here = (found["recall"]["value"], found["precision"]["value"])
        return [draw.precision_recall(points, here), draw.recall_by_false(points)]
    figures = next(iter(result["per"].values()))["metrics"]
    sensitivity, specificity = figures["sensitivity"]["value"], figures["specificity"]["value"]
    at = None if sensitivity is None or specificity is None else (1 - specificity, sensitivity)
    table = result["confusion"]
    return [
        draw.roc(result["curves"]["roc"], at),
        draw.reliability(result["curves"]["reliability"]),
        draw.table_of(table["rows_are_truth"], table["classes"]),
        draw.answered(result["abstention"]),
    ]


def page(result: Mapping[str, Any], svgs: Sequence[str], looked: Sequence[tuple[bytes, str]] = ()) -> str:
    """The whole page; every text that comes from a folder is escaped."""
    title = f"{_name(result)} on {result['data']['name']}"
    parts = [f"<h1>{html.escape(title)}</h1>", "<p><strong>Research use only.</strong> Not a medical device.</p>"]
    parts.append(_table(("", ""), _facts(result)))
    for level, found in result["per"].items():
        parts.append(f"<h2>By {html.escape(level)} (n {found['n']}, {found.get('units', '-')} patients or groups)</h2>")
        parts.append(_table(("figure", "value", "95 % interval"), _rows(found["metrics"])))
    parts.append(f'<div class="plots">{"".join(svgs)}</div>')
    if looked:
        parts.append(f"<h2>Where it looks</h2><p>{html.escape(LOOKED)}</p>")
        parts.append(f'<div class="plots">{"".join(_figure(*one) for one in looked)}</div>')
    for fact, groups in result.get("breakdown", {}).items():
        rows = [row for value, found in groups.items() if isinstance(found, dict) for row in _group(value, found)]
        parts.append(f"<h2>By {html.escape(fact)}</h2>" + _table(("", "n", "figure", "value", "95 % interval"), rows))
    parts.append("<h2>The seed's figures, beside these</h2>" + _table(("task", "the seed's", "on"), SEED))
    parts.append(f"<p>{html.escape(CAVEAT)}</p>")
    parts.append('<p class="note">Intervals: percentile bootstrap, patients or groups drawn anew. ECE: ten bins.</p>')
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _figure(png: bytes, caption: str) -> str:
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return f'<figure><img src="{source}" alt=""><figcaption>{html.escape(caption)}</figcaption></figure>'


def card(result: Mapping[str, Any]) -> str:
    """The model card as Markdown: what it is, what it is for, and how it did."""
    lines = [f"# {_name(result)}", "", "Research use only. Not a medical device.", ""]
    lines += [f"- {name}: {value}" for name, value in _facts(result)]
    for level, found in result["per"].items():
        lines += ["", f"## By {level} (n {found['n']})", "", "| figure | value | 95 % interval |", "|---|--:|---|"]
        lines += [f"| {name} | {value} | {between} |" for name, value, between in _rows(found["metrics"])]
    lines += ["", "## The seed's figures", "", CAVEAT, "", "| task | the seed's | on |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in SEED)]) + "\n"


def _name(result: Mapping[str, Any]) -> str:
    model = result.get("model", {})
    return f"{model.get('name', result['task'])} version {model.get('version', 1)}"


def _facts(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    data, run = result["data"], result.get("run", {})
    found = [
        (
            "data",
            f"{data['name']}, version {data.get('version', '-')}, hash {data['hash']}, split {result.get('split', '-')}",
        ),
        (
            "images",
            f"{result.get('images', '-')}; of no class that the model knows: {result.get('images_left_out', 0)}",
        ),
        ("threshold", f"{result.get('threshold', '-')}, chosen on tune"),
        ("code", str(run.get("code", "-"))),
        ("seed", str(run.get("seed", "-"))),
        ("trained on", f"{run.get('data', {}).get('name', '-')}, version {run.get('data', {}).get('version', '-')}"),
    ]
    if result.get("positive"):
        found.insert(2, ("positive", ", ".join(result["positive"])))
    if result.get("patients_compared") is False:
        found.append(
            ("caution", "patients of training and test were not compared: they are numbered by different sources")
        )
    return found


def _rows(metrics: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [(name.replace("_", " "), *_told(figure)) for name, figure in metrics.items() if figure["value"] is not None]


def _group(value: str, found: Mapping[str, Any]) -> list[tuple[str, str, str, str, str]]:
    kept = {
        key: found["metrics"][key]
        for key in (
            "accuracy",
            "sensitivity",
            "specificity",
            "auc",
            "f1",
            "precision",
            "recall",
            "false_per_normal",
            "ef_mae",
            "ef_bias",
        )
        if key in found["metrics"]
    }
    return [(value, str(found["n"]), *row) for row in _rows(kept)]


def _told(figure: Mapping[str, Any]) -> tuple[str, str]:
    low, high = figure["low"], figure["high"]
    between = "-" if low is None else f"{low:.3f}{' to ' if low < 0 else '-'}{high:.3f}"
    return f"{figure['value']:.3f}", between


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"
