"""Logs as JSON lines on stderr: a time, a level, a logger and our own words. What other libraries say passes a redactor."""

import json
import logging
import sys
import threading
import traceback
import warnings
from pathlib import Path
from types import TracebackType
from typing import Final

# Loggers whose messages may quote a request, a header or a value from a file.
TALKATIVE: Final = (
    "pydicom",
    "httpx2",
    "httpcore",
    "httpx",
    "uvicorn.access",
    "sqlalchemy",
    "psycopg",
    "multipart",
    "PIL",
    "py.warnings",
)
_ROOT: Final = Path(__file__).resolve().parent.parent
_log = logging.getLogger(__name__)
OURS: Final = ("core", "api", "web", "workers", "ml", "commands", "uvicorn.error", "procrastinate", "alembic")


class JsonLines(logging.Formatter):
    """One line of JSON. Of an exception only the class is told; foreign loggers lose their words."""

    def format(self, record: logging.LogRecord) -> str:
        is_ours = record.name.split(".")[0] in OURS or record.name in OURS
        line = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage() if is_ours and not self._is_foreign(record) else "(withheld)",
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
        return json.dumps(line, ensure_ascii=False)

    @staticmethod
    def _is_foreign(record: logging.LogRecord) -> bool:
        """procrastinate quotes job arguments (row ids) and results; uvicorn and alembic only themselves; errors quote anything."""
        return record.exc_info is not None and record.name.split(".")[0] not in {
            "core",
            "api",
            "web",
            "workers",
            "commands",
        }


def configure(level: str) -> None:
    """Take over all logging of this process; warnings go through the same redactor."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel("WARNING")
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel("ERROR")
    logging.getLogger("procrastinate").setLevel("WARNING")
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a line that cannot be written would be printed with its arguments
    _quiet_hooks()
    warnings.simplefilter("default")


def _quiet_hooks() -> None:
    """What nobody catches ends in a line like any other: Python itself would print the words of the error."""

    def uncaught(kind: type[BaseException], value: BaseException | None, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            _log.critical("uncaught %s at %s", kind.__name__, place_of(trace))

    sys.excepthook = uncaught
    threading.excepthook = lambda args: uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def place_of(trace: TracebackType | None) -> str:
    """Where it was raised and through which of our lines: all that a log may know of an error whose words may be a
    patient's."""
    frames = [(Path(frame.filename), frame.lineno) for frame in reversed(traceback.extract_tb(trace))]
    ours = [(path, line) for path, line in frames if path.is_relative_to(_ROOT) and "site-packages" not in path.parts]
    shown = dict.fromkeys([*frames[:1], *ours[:6]])
    return " < ".join(f"{'/'.join(path.parts[-2:])}:{line}" for path, line in shown) or "?"
