"""Reads generated screens and counts: what is found and told apart, what would leak, what is held, what is lost.

As a script, in the background: `nice python -m commands.bench_text 600 --seed 1 --processes 2`."""

import json
import statistics
import time
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from typing import Annotated, Any, Final

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from core.deid.text import TextReader
from core.deid.text_judge import Finding, Kind, judge
from core.deid.text_line import Text
from core.deid.text_match import Identifiers
from ml.phantom_banners import Banner, Written, banner

COVERED: Final = 0.9  # of a line's ink: it is found
STRIP: Final = 80  # rows under the wrong rule that are read again
CUT: Final = 4  # rows: a line that ends so near to the end of the strip goes on below it
VISIBLE: Final = 0.3  # of a line's ink: so much of it left is a leak
TOO_SHORT: Final = 8  # rows that the wrong rule misses
SPARSE: Final = 10  # one header in so many names neither the institution nor the operator
STRATA: Final = ("maker", "size", "script", "contrast", "drawing", "place", "stored")


def banners(count: int, seed: int, processes: int = 1) -> dict[str, Any]:
    """Recall and precision of each stratum over `count` screens, and the gate without any device rule and with a rule
    whose banner is 8 rows too short.

    The strata go round evenly, so a smaller count is a fair sample of a larger one: 72 screens are each maker at each
    size, 144 in each script as well; the rest is drawn. About 1.5 s of one core each. Under the wrong rule only the
    first rows look different: they are read again, the rest is as it was."""
    work = partial(_one, seed)
    if processes == 1:
        results = [work(number) for number in range(count)]
    else:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            results = list(pool.map(work, range(count), chunksize=4))
    strata: dict[str, dict[str, Any]] = {}
    for name in STRATA:
        groups = defaultdict(list)
        for result in results:
            groups[result["strata"][name]].append(result)
        strata[name] = {value: _summary(group) for value, group in sorted(groups.items())}
    return {
        "screens": count,
        "seed": seed,
        "all": _summary(results),
        "strata": strata,
        "gate": {rule: _gate([result[rule] for result in results]) for rule in ("no_rule", "short_rule")},
        "seconds_per_image": _spread([result["seconds"] for result in results]),
        "seconds_per_strip": _spread([result["short_seconds"] for result in results]),
        "misses": [(result["number"], one) for result in results for one in result["no_rule"]["leaks"]],
        "held": [(result["number"], *one) for result in results for one in result["no_rule"]["questions"]],
        "short_misses": [(result["number"], one) for result in results for one in result["short_rule"]["leaks"]],
        "short_held": [(result["number"], *one) for result in results for one in result["short_rule"]["questions"]],
        "lost": [(result["number"], *one) for result in results for one in result["no_rule"]["lost"]],
    }


@cache
def _reader() -> TextReader:
    cv2.setNumThreads(1)
    return TextReader()


def _one(seed: int, number: int) -> dict[str, Any]:
    """One screen, read without a rule and under a rule that is too short."""
    screen = banner(seed, number)
    known = Identifiers(*_header(screen, number))
    rows, columns = screen.picture.shape[:2]
    begun = time.perf_counter()
    texts = _reader().read(screen.picture)
    seconds = time.perf_counter() - begun
    top = screen.banner_rows - TOO_SHORT
    masked = screen.picture.copy()
    masked[:top] = 0
    begun = time.perf_counter()
    short = _reader().read(masked, [(0, top, columns, min(top + STRIP, rows))])
    short_seconds = time.perf_counter() - begun
    short = _joined(short, texts, top, min(top + STRIP, rows))
    return {
        "number": number,
        "strata": screen.strata,
        "lines": [_line(written, texts) for written in screen.written],
        "boxes": _boxes(screen, judge(texts, known)),
        "no_rule": _outcome(screen, texts, judge(texts, known), 0),
        "short_rule": _outcome(screen, short, judge(short, known, [(0, top, columns, rows)]), top),
        "seconds": seconds,
        "short_seconds": short_seconds,
    }


def _joined(strip: Sequence[Text], whole: Sequence[Text], top: int, end: int) -> list[Text]:
    """What is read in the strip from `top` to `end`, and below it what was read before; a line that `end` would cut too."""
    kept = [text for text in strip if text.box[3] < end - CUT]
    return kept + [text for text in whole if text.box[3] >= end - CUT and text.box[1] >= top]


def _header(screen: Banner, number: int) -> tuple[list[str], dict[str, str]]:
    values = screen.values
    kinds = dict.fromkeys(values["dicom_name"][0].split("="), "name") | dict.fromkeys(values["dicom_id"], "id")
    kinds |= {values["dicom_dates"][0]: "birth-date", values["dicom_dates"][1]: "date"}
    kinds |= dict.fromkeys(values["accession"], "accession")
    if number % SPARSE:
        kinds |= dict.fromkeys(values["institution"], "institution") | dict.fromkeys(values["operator"], "operator")
    return list(kinds), kinds


def _line(written: Written, texts: Sequence[Text]) -> dict[str, Any]:
    """Whether a line was found, and read letter for letter."""
    read = [text for text in texts if _meet(text.box, written.box)]
    is_read = _plain(written.text) in _plain("".join(text.words for text in sorted(read, key=lambda one: one.box)))
    covered = 1 - _visible(written, [text.box for text in read])
    return {"identifies": written.identifies, "found": covered >= COVERED, "read": is_read}


def _boxes(screen: Banner, findings: Sequence[Finding]) -> tuple[int, int]:
    """(boxes judged to be identifiers, those of them that hold one)."""
    named = [finding.box for finding in findings if finding.kind is Kind.IDENTIFIER]
    true = [one.box for one in screen.written if one.identifies]
    return len(named), sum(any(_meet(box, other) for other in true) for box in named)


def _outcome(screen: Banner, texts: Sequence[Text], findings: Sequence[Finding], top: int) -> dict[str, Any]:
    """What would happen to this picture when the rows above `top` and every identifier's box are blank."""
    masks = [finding.box for finding in findings if finding.kind is Kind.IDENTIFIER]
    masks.append((0, 0, screen.picture.shape[1], top))
    questions = [
        (finding.what, text.words, finding.box)
        for finding, text in zip(findings, texts, strict=True)
        if finding.kind is Kind.QUESTION
    ]
    left = [one.text for one in screen.written if one.identifies and _visible(one, masks) > VISIBLE]
    measures = [one for one in screen.written if not one.identifies]
    lost = [
        (one.text, [text.words for text in texts if _meet(text.box, one.box)])
        for one in measures
        if _visible(one, masks) < COVERED
    ]
    leaks = [] if questions else left
    return {"left": left, "leaks": leaks, "questions": questions, "measures": len(measures), "lost": lost}


def _visible(written: Written, masks: Iterable[Sequence[int]]) -> float:
    """The share of a line's ink that no mask covers."""
    left: NDArray[np.bool_] = written.ink.copy()
    x0, y0 = written.box[:2]
    for box in masks:
        left[max(box[1] - y0, 0) : max(box[3] - y0, 0), max(box[0] - x0, 0) : max(box[2] - x0, 0)] = False
    return float(left.sum() / max(written.ink.sum(), 1))


def _meet(one: Sequence[int], two: Sequence[int]) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def _plain(text: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKC", text).casefold() if letter.isalnum())


def _summary(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    lines = [line for result in results for line in result["lines"]]
    own = [line for line in lines if line["identifies"]]
    boxes, true = (sum(result["boxes"][place] for result in results) for place in (0, 1))
    outcomes = [result["no_rule"] for result in results]
    return {
        "screens": len(results),
        "lines": len(lines),
        "found": _share(sum(line["found"] for line in lines), len(lines)),
        "identifiers_found": _share(sum(line["found"] for line in own), len(own)),
        "identifiers_read": _share(sum(line["read"] for line in own), len(own)),
        "identifiers_masked": _share(len(own) - sum(len(one["left"]) for one in outcomes), len(own)),
        "precision": _share(true, boxes),
        "held": _share(sum(bool(one["questions"]) for one in outcomes), len(outcomes)),
        "leaks": sum(bool(one["leaks"]) for one in outcomes),
    }


def _gate(outcomes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    measures = sum(one["measures"] for one in outcomes)
    return {
        "leaking_images": sum(bool(one["leaks"]) for one in outcomes),
        "held": _share(sum(bool(one["questions"]) for one in outcomes), len(outcomes)),
        "measurements_kept": _share(measures - sum(len(one["lost"]) for one in outcomes), measures),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _spread(samples: Sequence[float]) -> dict[str, float]:
    ordered = sorted(samples)
    return {
        "median": round(statistics.median(ordered), 3),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 3),
        "most": round(ordered[-1], 3),
    }


def main(
    count: Annotated[int, typer.Argument(min=1, max=5000)] = 144,
    seed: Annotated[int, typer.Option()] = 1,
    processes: Annotated[int, typer.Option(min=1, max=64)] = 1,
) -> None:
    """Measure and print JSON."""
    print(json.dumps(banners(count, seed, processes), ensure_ascii=False))


if __name__ == "__main__":
    typer.run(main)
