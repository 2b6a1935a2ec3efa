"""Rules that do not read as CEL: they end too early, are written as in other languages, or lack their quotes."""

from __future__ import annotations

import re

from services.segmentation.rules.meant.source import Meant, Place, Source, quoted
from services.segmentation.rules.registry import Registry

_SYNTAX = "Syntax error: "
_UNKNOWN_SIGN = re.compile(r"token recognition error at: '(.*)'", re.DOTALL)
_END = "'<EOF>'"
_SIGNS = {
    "=": "compare with ==",
    "===": "compare with ==",
    "!==": "compare with !=",
    "=>": "write >= for at least",
    "=<": "write <= for at most",
    "<>": "write != for unlike",
    "&": "write && for and",
    "|": "write || for or",
}
_WORDS = {
    "and": "write && for and",
    "or": "write || for or",
    "not": "write ! for not",
    "like": "write .contains(), .startsWith() or .endsWith()",
    "in": "write in in small letters",
}
_CURLY = "“”„«»‘’‚"
_OPENING, _CLOSING = "([{", ")]}"
_EXPECTED = re.compile(r" expecting \{.*IDENTIFIER\}")


def explain(message: str, source: Source, registry: Registry) -> Meant | None:
    """Return what a rule that cannot be read lacks, and where; None for other mistakes."""
    if not message.startswith(_SYNTAX):
        return None
    found = _sign(message, source) or _quotes(message, source) or _end(message, source) or _word(source)
    if found is None:
        found = _other(message, source)
    hint, place = found
    return _SYNTAX + (hint or _plain(message)), place


def _plain(message: str) -> str:
    """Return the checker's words without those of its grammar."""
    said = (
        message.removeprefix(_SYNTAX)
        .replace(_END, "the end of the rule")
        .replace("<EOF>", "the end of the rule")
    )
    return _EXPECTED.sub(" where a value is expected", said)


def _sign(message: str, source: Source) -> Meant | None:
    """Explain signs of other languages."""
    for index in (source.index(), source.index() - 1):
        piece = source.piece(index)
        if piece is not None and piece.kind == "sign" and piece.text in _SIGNS:
            # The checker points behind the first part of some, such as <>.
            return _SIGNS[piece.text], source.place if piece.start >= source.offset else source.at(
                piece.start
            )
    return None


def _quotes(message: str, source: Source) -> Meant | None:
    unknown = _UNKNOWN_SIGN.search(message)
    if unknown is None:
        return None
    sign = unknown[1][:1]
    if sign in _CURLY and sign:
        return f"write straight quotes, \" or ', and not {sign}", source.place
    if sign in "\"'" and sign:
        return f"the text that begins here does not end: close it with {sign}", source.place
    return None


def _end(message: str, source: Source) -> Meant | None:
    """Explain a rule that ends too early."""
    if _END not in message or "expecting <EOF>" in message:
        return None
    last = source.piece(len(source.pieces) - 1)
    place = source.at(last.end) if last is not None else source.place
    if opened := _unclosed(source):
        sign, at = opened
        closing = _CLOSING[_OPENING.index(sign)]
        line, column = at
        where = f"in column {column}" if line == place[0] else f"in line {line}, column {column},"
        return f"the rule ends too early: the {sign} {where} is not closed, write {closing}", place
    after = f" after {last.text[:40]}" if last is not None else ""
    return f"the rule ends too early: write what comes{after}", place


def _unclosed(source: Source) -> tuple[str, Place] | None:
    """Return the innermost bracket that is not closed, and its place."""
    opened: list[tuple[str, int]] = []
    for piece in source.pieces:
        if piece.kind == "sign" and piece.text in _OPENING:
            opened.append((piece.text, piece.start))
        elif piece.kind == "sign" and piece.text in _CLOSING and opened:
            opened.pop()
    return (opened[-1][0], source.at(opened[-1][1])) if opened else None


def _word(source: Source) -> Meant | None:
    """Explain words of other languages, which the checker takes for names."""
    for index in (source.index(), source.index() - 1):
        piece = source.piece(index)
        if piece is None or piece.kind != "name":
            continue
        word, before = piece.text.lower(), source.left_of(index)
        place = source.at(piece.start)
        if word == "between" and before:
            return f"write {before} >= … && {before} <= …", place
        if word == "is" and before:
            known = source.is_sign(index + 1, "not", "NOT")
            return f"write {'' if known else '!'}has({before})", place
        if word in _WORDS and piece.text != "in":
            return _WORDS[word], place
    return None


def _other(message: str, source: Source) -> Meant:
    index = source.index()
    piece, before = source.piece(index), source.piece(index - 1)
    if piece is not None and piece.kind == "sign" and piece.text in _CLOSING and "expecting <EOF>" in message:
        return f"this {piece.text} closes nothing: take it out, or open it before", source.place
    if before is not None and before.text == ".":
        return "write a name after the dot", source.place
    if piece is None or before is None:
        return "", source.place
    if piece.kind == before.kind == "name" and (words := _unquoted(source, index)):
        return f"write texts in quotes: {quoted(words)}", source.at(source.pieces[index - 1].start)
    if "expecting {']'" in message or "expecting {')'" in message or "expecting ']'" in message:
        return f"write a comma between {before.text[:40]} and {piece.text[:40]}", source.place
    if "expecting <EOF>" in message and piece.kind != "sign":
        return "join conditions with && (and) or || (or)", source.place
    return "", source.place


def _unquoted(source: Source, index: int) -> str:
    """Return the words around a piece when they stand where a text is compared: `== Ho Chi Minh`."""
    first = index - 1
    if not source.is_sign(first - 1, "==", "!=", "[", ",", "(") or source.is_sign(first + 1, "."):
        return ""
    last = index
    while (following := source.piece(last + 1)) is not None and following.kind in ("name", "number"):
        last += 1
    return source.text[source.pieces[first].start : source.pieces[last].end]
