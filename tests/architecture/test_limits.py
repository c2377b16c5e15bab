"""The rules of the house that a machine can check: sizes, names, docstrings, excepts, prints, types, paths."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("core", "api", "web", "workers", "ml", "commands")
FILE_LINES = 350
FUNCTION_LINES = 40
BAGS = re.compile(r"(^|_)(utils?|helpers?|managers?|misc|common)$")
MACHINE = re.compile(
    r"(?<![\w.])/(?:home|Users|root)/[\w.-]+|(?<![\w./])/(?:work|workspace|workspaces)/|"
    r"https?://(?:[\w.-]*\.)?(?:artifactory|nexus|pypi-mirror|jfrog)[\w.-]*|"
    r"--(?:extra-)?index-url|https?://(?:10|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d"
)
LOCK_ONLY = re.compile(r"^(?:[a-zA-Z0-9_.\[\]-]+==\S+(?: ; .*?)?(?: \\)?|    --hash=sha256:[0-9a-f]{64}(?: \\)?)$")


@cache
def sources() -> tuple[tuple[Path, ast.Module, str], ...]:
    """Every Python file of the rooms: its path from the root, its tree, its text."""
    paths = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "__pycache__" not in path.parts)
    found = [(path.relative_to(ROOT), path.read_text()) for path in paths]
    return tuple((path, parsed(text) or ast.Module([], []), text) for path, text in found)


def parsed(text: str) -> ast.Module | None:
    """The tree, or None when it is not Python 3.11, which is the oldest that the project runs on."""
    try:
        return ast.parse(text, feature_version=(3, 11))
    except SyntaxError:
        return None


@cache
def python_texts() -> tuple[tuple[Path, str], ...]:
    tests = sorted((ROOT / "tests").rglob("*.py"))
    return (*((path, text) for path, _, text in sources()), *((t.relative_to(ROOT), t.read_text()) for t in tests))


def kept_files() -> list[Path]:
    """Text files that belong to the project: tracked, or new and not ignored; without git, all but hidden folders."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    hidden = {".git", ".venv", "var", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}
    return [path for path in ROOT.rglob("*") if path.is_file() and not hidden & set(path.relative_to(ROOT).parts)]


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the function without its decorators."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def is_broad(handler: ast.ExceptHandler) -> bool:
    """Whether it catches everything and keeps it; one that cleans up and raises the same again keeps nothing."""
    if isinstance(last := handler.body[-1], ast.Raise) and last.exc is None:
        return False
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or ast.unparse(kind).rpartition(".")[2] in {"Exception", "BaseException"} for kind in kinds)


def offenders(found: list[str]) -> None:
    assert not found, "\n".join(["", *found])


def test_every_file_is_python_311() -> None:
    offenders([str(path) for path, _, text in sources() if parsed(text) is None])


def test_files_are_short() -> None:
    offenders([f"{p}: {n} lines" for p, _, text in sources() if (n := len(text.splitlines())) > FILE_LINES])


def test_functions_are_short() -> None:
    offenders(
        [
            f"{path}:{function.lineno} {function.name}: {lines_of(function)} lines"
            for path, tree, _ in sources()
            for function in functions(tree)
            if lines_of(function) > FUNCTION_LINES
        ]
    )


def test_no_file_is_a_bag() -> None:
    offenders([str(path) for path, _, _ in sources() if any(BAGS.search(part) for part in path.with_suffix("").parts)])


def test_every_module_says_what_it_is() -> None:
    offenders([str(path) for path, tree, _ in sources() if not (ast.get_docstring(tree) or "").strip()])


def test_no_except_is_broad() -> None:
    offenders(
        [
            f"{path}:{node.lineno}"
            for path, tree, _ in sources()
            for node in ast.walk(tree)
            if isinstance(node, ast.ExceptHandler) and is_broad(node)
        ]
    )


def test_only_commands_print() -> None:
    offenders(
        [
            f"{path}:{node.lineno}"
            for path, tree, _ in sources()
            if path.parts[0] != "commands"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        ]
    )


def test_every_ignored_type_error_has_a_code() -> None:
    bare = re.compile(r"#\s*type:\s*ignore(?!\[[\w, -]+\])")
    offenders(
        [
            f"{path}:{number}"
            for path, text in python_texts()
            if path.name != Path(__file__).name
            for number, line in enumerate(text.splitlines(), 1)
            if bare.search(line)
        ]
    )


def test_every_parameter_and_result_is_typed() -> None:
    found = []
    for path, tree, _ in sources():
        for function in functions(tree):
            given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
            missing = [a.arg for a in given if a.annotation is None and a.arg not in {"self", "cls"}]
            if missing or function.returns is None:
                found.append(f"{path}:{function.lineno} {function.name}: {', '.join(missing) or 'result'}")
    offenders(found)


def test_no_file_knows_a_machine_or_a_registry() -> None:
    found = []
    for path in kept_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        if path == Path(__file__):
            continue
        name = path.relative_to(ROOT)
        found += [f"{name}: {match.group()}" for match in MACHINE.finditer(text)]
    offenders(found)


@pytest.mark.parametrize("lock", ["base.txt", "test.txt"])
def test_locks_hold_names_versions_and_hashes_only(lock: str) -> None:
    lines = (ROOT / "requirements" / lock).read_text().splitlines()
    offenders(
        [f"{lock}:{number}: {line}" for number, line in enumerate(lines, 1) if line and not LOCK_ONLY.match(line)]
    )


@pytest.mark.parametrize(
    "text",
    ["/home/someone/x", "see /root/.config", "/work/main/run", "https://artifactory.example/simple", "--index-url x"],
)
def test_the_search_for_machines_finds_them(text: str) -> None:
    assert MACHINE.search(text)


@pytest.mark.parametrize("text", ["/api/v1/work/3", "docs/root/x", "https://pypi.org/project/x", "/var/lib/sonobank"])
def test_the_search_for_machines_spares_the_rest(text: str) -> None:
    assert not MACHINE.search(text)
