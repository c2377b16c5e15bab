"""What the code says in English to people, read from its syntax trees: the same sentences stand in `web/locale/said`."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
# A row, a list or a finding that keeps words for people has them in a field of one of these names.
FIELDS: Final = frozenset({"reason", "reasons", "hold", "message", "problem", "last_error", "detail"})
_SENTENCE: Final = re.compile(r"[A-Z{](?=.*[a-z]).* .*[.?]", re.DOTALL)
_KEY: Final = re.compile(r"[a-z_]+(\.[a-z_-]+)+")  # of a text of the pages, which is in both languages anyway
_OF_PROGRAMMERS: Final = frozenset({"ValueError", "RuntimeError", "TypeError", "LookupError"})
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    path: str
    tree: ast.Module


def modules(*folders: str, but: Sequence[str] = ()) -> list[Module]:
    """The Python files of these folders; `but` names files and, with a slash at the end, folders."""
    found = []
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not any(name == other or (other.endswith("/") and name.startswith(other)) for other in but):
                found.append(Module(name, ast.parse(path.read_text("utf-8"))))
    return found


def classes(found: Sequence[Module]) -> dict[str, ast.ClassDef]:
    return {node.name: node for one in found for node in ast.walk(one.tree) if isinstance(node, ast.ClassDef)}


def errors(known: dict[str, ast.ClassDef]) -> set[str]:
    """The names of AppError and of everything below it."""
    names = {"AppError"}
    while more := {name for name, node in known.items() if name not in names and names & set(map(_name, node.bases))}:
        names |= more
    return names


def sentences(found: Sequence[Module], known: dict[str, ast.ClassDef]) -> dict[str, str]:
    """{sentence: where it is said}: of errors and fields, whatever its form; elsewhere what reads as a sentence."""
    of_errors = errors(known)
    takes = {name: _fields(node) for name, node in known.items()} | dict(_parameters(found))
    takes |= {name: ["message"] for name in of_errors}
    heard: dict[str, str] = {}
    for one in found:
        unheard = set(_unheard(one))
        defined = {node.name: node for node in one.tree.body if isinstance(node, _Function)}
        for function, node in _walk(one.tree, None):
            for expression in (*_spoken(node, takes), *_rules(one, function, node)):
                for words in _literals(expression, function, defined):
                    if not _KEY.fullmatch(words):
                        heard.setdefault(words, f"{one.path}:{expression.lineno}")
            if isinstance(node, ast.ClassDef) and node.name in of_errors and not _has_own_words(node):
                heard.setdefault((ast.get_docstring(node) or "").splitlines()[0], f"{one.path}:{node.lineno}")
            if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in unheard:
                for words in filter(_SENTENCE.fullmatch, _literals(node)):
                    heard.setdefault(words, f"{one.path}:{node.lineno}")
    return heard


def _walk(node: ast.AST, function: _Function | None) -> Iterator[tuple[_Function | None, ast.AST]]:
    """Every node with the function that it is in; the pieces of an f-string are not nodes of their own."""
    yield function, node
    inner = node if isinstance(node, _Function) else function
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant)):
            yield from _walk(child, inner)


def _unheard(one: Module) -> Iterator[int]:
    """Docstrings, and what a programmer hears: an error that no page catches."""
    for node in ast.walk(one.tree):
        if isinstance(node, ast.Expr):
            yield id(node.value)
        if isinstance(node, ast.Call) and _name(node.func) in _OF_PROGRAMMERS:
            yield from map(id, node.args)


def _name(node: ast.expr) -> str:
    return getattr(node, "id", None) or getattr(node, "attr", None) or ""


def _fields(node: ast.ClassDef) -> list[str]:
    """What a dataclass or named tuple takes by place."""
    return [one.target.id for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)]


def _parameters(found: Sequence[Module]) -> Iterator[tuple[str, list[str]]]:
    """The functions that are given words for people."""
    for one in found:
        for node in ast.walk(one.tree):
            if isinstance(node, _Function) and FIELDS & {given.arg for given in node.args.args}:
                yield node.name, [given.arg for given in node.args.args if given.arg != "self"]


def _has_own_words(node: ast.ClassDef) -> bool:
    return any(isinstance(one, _Function) and one.name == "__init__" and node.name != "AppError" for one in node.body)


def _rules(one: Module, function: _Function | None, node: ast.AST) -> Iterator[ast.expr]:
    """The contract's own rules, which stand in its refusals beside the place that breaks them."""
    if one.path.startswith("core/package/"):
        if isinstance(node, ast.Call) and _name(node.func) == "ValueError":
            yield from node.args
        if (
            isinstance(node, ast.Yield | ast.YieldFrom)
            and node.value
            and function
            and re.search("problems$|repeats$", function.name)
        ):
            yield node.value


def _spoken(node: ast.AST, takes: dict[str, list[str]]) -> Iterator[ast.expr]:
    """The expressions of a node that reach people."""
    if isinstance(node, ast.Call):
        by_place = takes.get(_name(node.func), [])
        yield from (given for place, given in zip(by_place, node.args, strict=False) if place in FIELDS)
        yield from (keyword.value for keyword in node.keywords if keyword.arg in FIELDS)
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _assigned(target, node.value)
    elif isinstance(node, ast.AugAssign) and _name(node.target) in FIELDS:
        yield ast.copy_location(ast.BinOp(node.target, ast.Add(), node.value), node)


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[ast.expr]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, given in zip(target.elts, value.elts, strict=True):
            yield from _assigned(one, given)
    elif any(_name(one) in FIELDS for one in (target.elts if isinstance(target, ast.Tuple) else [target])):
        yield value


def _literals(
    node: ast.expr | None, function: _Function | None = None, defined: Mapping[str, _Function] | None = None
) -> Iterator[str]:
    """The texts that an expression may become, {} for what is put in.

    Names are followed inside their function, calls into the functions of the same file."""
    deeper: list[tuple[ast.expr | None, _Function | None]] = [(one, function) for one in _parts(node)]
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search("[a-z]", node.value):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from ("{}" + words for words in _literals(node.right, function, defined))
    elif isinstance(node, ast.Name) and function is not None:
        deeper += [(value, None) for value in _values_of(node.id, function)]
    elif isinstance(node, ast.Call) and (called := (defined or {}).get(_name(node.func))) is not None:
        returned = [one.value for one in ast.walk(called) if isinstance(one, ast.Return)]
        deeper += [(value, called) for value in returned]
    for value, inside in deeper:
        yield from _literals(value, inside, None if inside is not function else defined)


def _parts(node: ast.expr | None) -> Sequence[ast.expr]:
    """The expressions that may become what this one becomes."""
    if isinstance(node, ast.IfExp):
        return [node.body, node.orelse]
    if isinstance(node, ast.BoolOp):
        return node.values
    if isinstance(node, ast.List | ast.Tuple):
        return node.elts
    if isinstance(node, ast.ListComp | ast.GeneratorExp):
        return [node.elt]
    if isinstance(node, ast.Call) and _name(node.func) in {"join", "get"}:
        return node.args[:1] if _name(node.func) == "join" else node.args[1:]
    if isinstance(node, ast.JoinedStr):
        put_in = [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
        return [value for value in put_in if isinstance(value, ast.Name | ast.IfExp)]
    return []


def _values_of(name: str, function: _Function) -> list[ast.expr]:
    assigned = [node for node in ast.walk(function) if isinstance(node, ast.Assign)]
    return [node.value for node in assigned if any(_name(target) == name for target in node.targets)]
