"""The changes of one expression that ``mutants.py`` makes, and those that nothing could notice, with a reason each."""

import ast
import json
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("nn", "population", "data", "runs")
SWAPS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.USub: ast.UAdd,
}


def mutants(path):
    """List (line, what is done, text before, text after) of a file: each a change of one expression."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    told = set()  # words for people, and types, are no behaviour
    for node in ast.walk(tree):
        quiet = []
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.Assert):
            quiet = [node]
        elif isinstance(node, ast.FunctionDef):
            quiet = [part.annotation for part in (*node.args.args, *node.args.kwonlyargs) if part.annotation] + [
                node.returns
            ]
        elif isinstance(node, ast.AnnAssign):
            quiet = [node.annotation]
        told |= {id(part) for root in quiet if root is not None for part in ast.walk(root)}
    starts = [0]
    for line in text.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found, data, counts = [], text.encode(), Counter()
    for node in ast.walk(tree):
        if id(node) in told:
            continue
        before = ast.unparse(node) if isinstance(node, ast.expr) else ""
        after = changed(node)
        if after is not None and after != before:
            a, b = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
            words = f"{before[:70]} -> {after[:70]}"
            counts[node.lineno, words] += 1
            if counts[node.lineno, words] > 1:
                words += f" #{counts[node.lineno, words]}"  # of equal changes of one line
            found.append((node.lineno, words, data, data[:a] + f"({after})".encode() + data[b:]))
    return found


def changed(node):
    """Give the text of an expression changed in one place, or None where nothing is to be changed."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        return ast.unparse(ast.Compare(node.left, [SWAPS[type(node.ops[0])](), *node.ops[1:]], node.comparators))
    if (
        isinstance(node, ast.BinOp)
        and type(node.op) in SWAPS
        and not isinstance(node.left, ast.JoinedStr | ast.Constant)
    ):
        return ast.unparse(ast.BinOp(node.left, SWAPS[type(node.op)](), node.right))
    if isinstance(node, ast.BoolOp):
        return ast.unparse(ast.BoolOp(SWAPS[type(node.op)](), node.values))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return ast.unparse(node.operand)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return ast.unparse(node.operand)
    if isinstance(node, ast.IfExp):
        return ast.unparse(ast.IfExp(node.test, node.orelse, node.body))
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return str(not node.value)
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return repr(node.value + 1)
    return None


def equivalents(path=ROOT / "tests" / "equivalent_mutants.json"):
    """Read the reasons of mutants that nothing could notice, by (text of the line, change): files may be moved."""
    return {(line, change): reason for line, change, reason in json.loads(path.read_text(encoding="utf-8"))}


def sources():
    return [path for room in ROOMS for path in sorted((ROOT / "src" / "mlplab" / room).glob("*.py"))]


def name_of(path):
    return str(path.relative_to(ROOT / "src" / "mlplab"))
