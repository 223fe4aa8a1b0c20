"""Which statements of a notebook its answers need, found from the last one to the first."""

import ast
import symtable
from collections.abc import Iterator, Sequence

_PLAIN = ast.Assign | ast.AnnAssign | ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom
"""Statements that give their names new values, whatever these were."""

_AT_ONCE = {"listcomp", "setcomp", "dictcomp", "genexpr"}
"""Tables of names whose code runs where it stands."""

_SHOWING = {"print", "display", "check", "guess", "hint"}
"""Functions that change no argument."""


def needed(trees: Sequence[ast.Module]) -> list[ast.stmt]:
    """Return the statements of a notebook that its answers need, in their order.

    Args:
        trees: the cells that parse.
    """
    late: set[str] = set()
    while True:
        uses = _Uses(trees, late)
        statements = [one for tree in trees for one in tree.body]
        found = [one for one in reversed(statements) if uses.needs(one)]
        if uses.late == late:
            return found[::-1]
        late = uses.late


class _Uses:
    """The names that the statements below need, one by one upwards.

    Args:
        trees: the cells of the notebook that parse.
        late: names that functions read, when they are called: any statement may give them a value.
    """

    def __init__(self, trees: Sequence[ast.Module], late: set[str]) -> None:
        """Begin below the last one, where only those and what ``import *`` brings are needed."""
        self._always, self.late = {"*", *late}, set(late)
        self._needed = set(self._always)
        self._checking, self._modules = {"check"}, set[str]()
        for one in (node for tree in trees for node in ast.walk(tree)):
            if isinstance(one, ast.Import):
                self._modules |= {_name_of(alias) for alias in one.names}
            elif isinstance(one, ast.ImportFrom):
                self._modules |= {_name_of(alias) for alias in one.names}
                self._checking |= {_name_of(x) for x in one.names if x.name == "check"}
            elif isinstance(one, ast.FunctionDef) and self._checks(one):
                self._checking.add(one.name)

    def needs(self, statement: ast.stmt) -> bool:
        """Return whether the answers need a statement; if so, what it reads is needed above it."""
        changed = set(self._changed(statement))
        if not (self._checks(statement) or self._needed & changed):
            return False
        if isinstance(statement, _PLAIN):
            self._needed -= _stored(statement)
        now, later = _read(statement)
        self._needed |= now
        self.late |= later
        if isinstance(statement, ast.For | ast.With):  # these give their own names a value first
            self._needed -= _targets(statement)
        self._needed |= self._always
        return True

    def _checks(self, tree: ast.AST) -> bool:
        """Return whether a part of a cell calls ``check`` with an answer."""
        calls = (one for one in ast.walk(tree) if isinstance(one, ast.Call))
        return any(
            self._checking & set(_root(one.func)) and not any(map(_is_dots, one.args))
            for one in calls
        )

    def _changed(self, statement: ast.stmt) -> Iterator[str]:
        """Yield the names that a statement gives a value or changes in place."""
        yield from _stored(statement)
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            return
        for one in ast.walk(statement):
            if isinstance(one, ast.Subscript | ast.Attribute) and isinstance(one.ctx, ast.Store):
                yield from _root(one)[:1]
            elif isinstance(one, ast.Expr) and isinstance(one.value, ast.Call):
                yield from self._changed_by(one.value)

    def _changed_by(self, call: ast.Call) -> Iterator[str]:
        """Yield what a call may change: ``x.append(3)``, ``fill(x)``, ``torch.manual_seed(1)``."""
        own, *parts = _root(call.func) or [""]
        last = parts[-1] if parts else own
        if parts and (own not in self._modules or "seed" in last):
            yield own
        if last.endswith(("_", "shuffle")) or (not parts and own not in _SHOWING):
            yield from (name for argument in call.args for name in _root(argument)[:1])


def _targets(statement: ast.For | ast.With) -> set[str]:
    parts: list[ast.AST | None] = [getattr(statement, "target", None)]
    parts += [one.optional_vars for one in getattr(statement, "items", [])]
    nodes = [node for part in parts if part for node in ast.walk(part)]
    return {one.id for one in nodes if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}


def _is_dots(argument: ast.expr) -> bool:
    return isinstance(argument, ast.Constant) and argument.value is ...


def _name_of(alias: ast.alias) -> str:
    return alias.asname or alias.name.split(".")[0]


def _root(part: ast.expr) -> list[str]:
    """Return the names of ``a.b[3].c``, or none if it begins with something else."""
    if isinstance(part, ast.Attribute):
        inner = _root(part.value)
        return [*inner, part.attr] if inner else []
    if isinstance(part, ast.Subscript | ast.Starred):
        return _root(part.value)
    return [part.id] if isinstance(part, ast.Name) else []


def _table(statement: ast.stmt) -> symtable.SymbolTable:
    return symtable.symtable(ast.unparse(statement), "a cell", "exec")


def _stored(statement: ast.stmt) -> set[str]:
    """Return the names of the notebook, not of a function, that a statement gives a value."""
    if isinstance(statement, ast.ImportFrom) and statement.names[0].name == "*":
        return {"*"}
    own = _table(statement).get_symbols()
    return {one.get_name() for one in own if one.is_assigned() or one.is_imported()}


def _read(statement: ast.stmt) -> tuple[set[str], set[str]]:
    """Return the names of the notebook that a statement reads, and those that its functions do."""
    now, later = set[str](), set[str]()
    tables = [(_table(statement), now)]
    for table, found in tables:  # it grows
        own = (one for one in table.get_symbols() if one.is_referenced())
        found |= {one.get_name() for one in own if table.get_type() == "module" or one.is_global()}
        for child in table.get_children():
            at_once = child.get_type() == "class" or child.get_name() in _AT_ONCE
            tables.append((child, found if at_once else later))
    return now, later
