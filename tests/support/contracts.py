"""Which RPCs the contract tests really call, read from their source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def snake(name: str) -> str:
    """Return the name of an RPC as the client library spells it."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


@dataclass(frozen=True)
class Module:
    """Hold what a test module defines and imports.

    functions: by name, those of the top level; imported: modules and names that imports bind; helpers: the names
    imported from the tests' own modules, each with the file it comes from and its name there.
    """

    functions: dict[str, ast.FunctionDef] = field(default_factory=dict)
    imported: set[str] = field(default_factory=set)
    helpers: dict[str, tuple[Path, str]] = field(default_factory=dict)


@cache
def read_module(path: Path, root: Path = ROOT) -> Module:
    """Return what a file of tests defines and imports."""
    module = Module()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef(name=name):
                module.functions[name] = node
            case ast.Import(names=names):
                module.imported.update((alias.asname or alias.name).split(".")[0] for alias in names)
            case ast.ImportFrom(module=source, names=names):
                for alias in names:
                    name = alias.asname or alias.name
                    module.imported.add(name)
                    file = root / f"{(source or '').replace('.', '/')}.py"
                    if (source or "").startswith("tests.") and file.exists():
                        module.helpers[name] = (file, alias.name)
    return module


@dataclass
class Body:
    """Hold what a test does, its helpers included: names of methods that it calls, and whether it checks anything."""

    called: set[str] = field(default_factory=set)
    checks: bool = False


def body_of(path: Path, name: str, root: Path = ROOT) -> Body:
    """Return what a function of a file does."""
    found = Body()
    _add(found, path, name, root, set())
    return found


def _add(found: Body, path: Path, name: str, root: Path, seen: set[tuple[Path, str]]) -> None:
    module = read_module(path, root)
    function = module.functions.get(name)
    if function is None or (path, name) in seen:
        return
    seen.add((path, name))
    for node in ast.walk(function):
        match node:
            case ast.Assert(test=ast.Constant()):
                pass  # says the same whatever the RPC does
            case ast.Assert():
                found.checks = True
            case ast.Call(func=ast.Attribute(attr="raises")):
                found.checks = True
            case ast.Call(func=ast.Name(id=helper)):
                file, original = module.helpers.get(helper, (path, helper))
                _add(found, file, original, root, seen)
            case ast.Call(func=ast.Attribute() as target):
                found.called.update(_chain(target, module.imported))


def _chain(target: ast.Attribute, imported: set[str]) -> Iterator[str]:
    """Yield the names in `client.method.iterate`; none for functions of a module, which are no calls by gRPC."""
    names = []
    node: ast.expr = target
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not (isinstance(node, ast.Name) and node.id in imported):
        yield from names


def contract_tests(folder: Path, rpc: str, root: Path = ROOT) -> list[str]:
    """Return the tests of an RPC in a folder: named after it, calling it by client or stub, and checking something."""
    method = snake(rpc)
    prefix = f"test_{method}"
    found = []
    for path in sorted(folder.glob("test_*.py")):
        for name in read_module(path, root).functions:
            if name != prefix and not name.startswith(f"{prefix}_"):
                continue
            body = body_of(path, name, root)
            if body.checks and body.called & {method, rpc}:
                found.append(f"{path.name}::{name}")
    return found
