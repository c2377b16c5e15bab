"""The verbs of `./run`: each is imported only when it is called, so help is instant and a verb loads what it needs."""

import importlib
import importlib.util
import os
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import typer

from core.errors import AppError


@dataclass(frozen=True)
class Verb:
    """`attribute` of `module` is a Typer application or a function that Typer can call."""

    module: str
    attribute: str
    does: str


VERBS = {
    "demo": Verb("commands.demo", "demo", "hospital, relay and central here, and one case through all of it"),
    "serve": Verb("commands.serve", "serve", "one node: --role site, relay or central"),
    "worker": Verb("commands.worker", "worker", "the background jobs of a node: --role site, relay or central"),
    "admin": Verb("commands.admin", "app", "keys, people, sites, tokens, audit"),
    "deid": Verb("commands.deid", "deid", "de-identify a folder without a server: IN OUT --keys DIR"),
    "ml": Verb("commands.ml", "app", "train, judge and run the AI on a data folder: import, train, evaluate, folds"),
    "pull": Verb("commands.pull", "pull", "download a dataset and check every hash"),
    "bench": Verb("commands.bench", "bench", "measure this machine"),
    "screens": Verb("commands.screens", "screens", "make the pictures of every page in docs/screens again"),
    "check": Verb("commands.check", "check", "lint, types, import contracts, migrations; changes nothing"),
    "fix": Verb("commands.check", "fix", "repair what the linter and the formatter can repair"),
}
SCRIPT_VERBS = {
    "test": "all tests: ./run test [pytest arguments]",
    "setup": "install the packages and do no more; --video adds what H.264 video needs",
    "bundle": "pack the packages for a machine without internet: ./run --offline BUNDLE",
}


def given_path(value: str | Path) -> Path:
    """A path as the caller meant it: `./run` works in the checkout, relative paths begin where the caller stood."""
    return Path(os.environ.get("SONOBANK_CALLER_CWD") or Path.cwd()) / value


def main() -> None:
    """Dispatch one verb. A refusal with a reason goes to stderr with exit code 2 and no traceback."""
    word, rest = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("demo", [])
    if word in {"-h", "--help", "help"}:
        print(_help())
        return
    if word not in VERBS:
        _stop(f"there is no verb {word!r}. ./run help lists them.")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold identified data
    try:
        _application(word)(args=rest, prog_name=f"./run {word}")
    except AppError as error:
        _stop(error.message)


def _application(word: str) -> typer.Typer:
    verb = VERBS[word]
    if importlib.util.find_spec(verb.module) is None:
        _stop(f"the verb {word!r} is not part of this installation.")
    found: typer.Typer | Callable[..., object] = getattr(importlib.import_module(verb.module), verb.attribute)
    if isinstance(found, typer.Typer):
        return found
    application = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    application.command(name=word)(found)
    return application


def _stop(reason: str) -> NoReturn:
    print(f"sonobank: {reason}", file=sys.stderr)
    sys.exit(2)


def _help() -> str:
    lines = {name: verb.does for name, verb in VERBS.items()} | SCRIPT_VERBS
    listed = "\n".join(f"  {name:<8}{does}" for name, does in lines.items())
    return f"Usage: ./run [VERB] [OPTIONS]    without a verb: demo\n\n{listed}\n\n./run VERB --help says more."


if __name__ == "__main__":
    main()
