"""Mistakes that the equivalence test must find: each a small change of the source, whose old text must occur once.

A mutant that no longer applies fails the test, so these follow the code. ``aim`` names operators (as the coverage table
does) whose rules are tried first; all others follow. The mutants of ``store`` are tried by a scenario of the service.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One mistake: in which module of ``services.segmentation``, what is replaced by what."""

    name: str
    module: str
    old: str
    new: str
    aim: tuple[str, ...] = ()


_SCALARS, _LISTS, _FRAMES = "rules.sql.scalars", "rules.sql.lists", "rules.sql.frames"
_STATEMENTS, _TIMING, _STORE = "rules.sql.statements", "rules.sql.timing", "store.membership"
_LOWERING, _LOWER_LISTS, _LOWER_TIME = "rules.lowering", "rules.lowering_lists", "rules.lowering_time"
_LATEST = "rules.sql.latest"
_CALENDAR, _LOWER_CALENDAR = "rules.sql.calendar", "rules.lowering_calendar"
_EVALUATOR, _INTERPRETER, _CHANGES = "rules.evaluator", "rules.interpreter", "rules.timing"

MUTANTS: tuple[Mutant, ...] = (
    # -- single values
    Mutant("missing is no longer equal to missing", _SCALARS,
           "return a.is_distinct_from(b) if node.negated else a.is_not_distinct_from(b)",
           "return a != b if node.negated else a == b", ("Equal ==",)),
    Mutant("!= of a missing side is unknown", _SCALARS,
           "plain = func.coalesce(plain, TRUE if node.negated else FALSE)", "pass", ("Equal !=",)),
    Mutant("== of an unknown and a missing side is false", _SCALARS,
           "return case((erring[0].is_not(None), plain))", "return plain", ("Equal ==",)),
    Mutant("`in` of what is missing is unknown", _SCALARS,
           "return func.coalesce(found, FALSE) if node.operand.can_null and not truth else found", "return found",
           ("InValues",)),
    Mutant("`in` of what is unknown is false", _SCALARS,
           "    if node.operand.can_err and not truth:\n        return case((operand.is_not(None), found))\n"
           "    return found\n", "    return found\n", ("InTexts of custom",)),
    Mutant("a text that is missing makes `in contact.tags` unknown", _SCALARS,
           "found = func.coalesce(found, FALSE)", "pass", ("InTexts of core",)),
    Mutant("an unknown condition chooses the second branch", _SCALARS,
           "return case((TRUE, then), (FALSE, otherwise), value=condition)",
           "return case((TRUE, then), else_=otherwise, value=condition)", ("Ternary",)),
    Mutant("texts are ordered as the database likes", _SCALARS,
           'left.collate("C") if node.left.kind == "string" else left', "left", ("Compare of string",)),
    Mutant("a window ends too early", _SCALARS, '"<=": time >= edge', '"<=": time > edge', ("NowCompare <=",)),
    Mutant("a window reaches into the future", _SCALARS,
           "frame.once(frame.now - interval(shift))",
           "frame.once(frame.now + interval(shift))", ("NowCompare <",)),
    Mutant("has() of a time is always true", _SCALARS,
           "if operand.can_null or operand.can_err else TRUE", "if operand.can_null else TRUE", ("Has",)),
    Mutant("contains() overlooks the beginning", _SCALARS,
           'func.strpos(text, part) > literal_column("0")', 'func.strpos(text, part) > literal_column("1")',
           ("TextTest of contains",)),
    Mutant("whole numbers are subtracted unguarded", _SCALARS,
           'return _call(_ARITH[node.op], node.kind, left, right)',
           'return left + right if node.op == "+" else _call(_ARITH[node.op], node.kind, left, right)', ("Arith +",)),
    # -- lists
    Mutant("a count forgets its filter", _LISTS, "        value = _count(keep, frame)\n",
           "        value = _count([], frame)\n", ("Count of events",)),
    Mutant("a list that is unknown is counted", _LISTS,
           "        return case((_any(spoilt, frame).is_not(TRUE), value))", "        return value", ("Count",)),
    Mutant("an item that was dropped spoils the list", _LISTS,
           "conditions.append(and_(*before, compile_value(step.expr, frame).is_(None)))",
           "conditions.append(compile_value(step.expr, frame).is_(None))", ("Count of events",)),
    Mutant("all() takes unknown for false", _LISTS, "exact.is_(False), FALSE, TRUE", "exact.is_not(TRUE), FALSE, TRUE",
           ("Quantified all",)),
    Mutant("a quantifier takes unknown for no answer", _LISTS,
           "unknown = [and_(*keep, exact.is_(None))] if unsure(node.predicate) else []", "unknown = []",
           ("Quantified exists",)),
    Mutant("an unknown item beats one that decides", _LISTS,
           "    branches.append((decided.is_(TRUE), answer))\n    if unknown:\n"
           "        branches.append((_any(unknown, frame).is_(TRUE), NULL_BOOL))\n",
           "    if unknown:\n        branches.append((_any(unknown, frame).is_(TRUE), NULL_BOOL))\n"
           "    branches.append((decided.is_(TRUE), answer))\n", ("Quantified",)),
    Mutant("any item becomes every item", _LISTS, "func.bool_or(condition)", "func.bool_and(condition)",
           ("Quantified",)),
    Mutant("all() of no events is false", _LISTS, 'return TRUE if node.role == "all" else FALSE', "return FALSE",
           ("Quantified all",)),
    Mutant("an event that happens now is not seen", _LISTS, "event.c.occurred_at <= now", "event.c.occurred_at < now",
           ("Quantified",)),
    Mutant("a nested list is of everybody", _LISTS,
           "where = [event.c.contact_id == frame.contact_id(), *visible(event, items.source, frame.now)]",
           "where = visible(event, items.source, frame.now)", ("Count of events",)),
    Mutant("a sum adds doubles and not what is stored", _LISTS, "stored=node.exact", "stored=False",
           ("Aggregate sum exact",)),
    Mutant("the smallest is the largest", _LISTS, 'func.min(value) if node.role == "min" else func.max(value)',
           "func.max(value)", ("Aggregate min",)),
    Mutant("all() is asked inside its window only", _LISTS,
           'if isinstance(node, ir.Quantified) and node.role != "all":', "if isinstance(node, ir.Quantified):",
           ("Quantified all",)),
    Mutant("events before a date are sought after it", _LISTS, 'part.op in ("<", "<=", "==")',
           'part.op in ("<", "<=", "==", ">")', ("NowCompare >",)),
    # -- frames and statements
    Mutant("the count of no events is NULL", _FRAMES,
           'return case((literal_column(f"{group.name}.contact_id").is_(None), empty), else_=value)', "return value",
           ("Count of events",)),
    Mutant("the shortest window holds for all", _FRAMES, "interval(max(known))", "interval(min(known))",
           ("NowCompare <=",)),
    Mutant("a window holds for what has none", _FRAMES, "if len(known) < len(self.windows) or not known:",
           "if not known:", ("NowCompare <=", "Count of events")),
    Mutant("in_segment() asks whether anybody is a member", _FRAMES,
           "                member.c.contact_id == contact_id,\n", "", ("InSegment",)),
    Mutant("a rebuild counts one too few", _LATEST, '(1 if op in (">", "<=") else 0)', '(1 if op == ">" else 0)',
           ("Count of events",)),
    Mutant("a rebuild joins a list that is unknown", _STATEMENTS, "if items.spoils or at_least < 1 or",
           "if at_least < 1 or", ("Count of events",)),
    Mutant("a rebuild takes unknown for no such event", _LATEST,
           'sure = node.role == "exists" and not unsure(node.predicate)', 'sure = node.role == "exists"', ("Not",)),
    Mutant("a batch takes fewer than n for n", _LATEST, "return not_(known) if found.below else known",
           "return known", ("Count of events",)),
    Mutant("a batch asks the n-th latest but one", _LATEST, "asked.predicate, asked.at_least, frame)",
           "asked.predicate, asked.at_least + 1, frame)", ("Count of events",)),
    Mutant("a batch takes too few events for unknown", _LATEST,
           "known = func.coalesce(reached, FALSE)", "known = reached", ("Not",)),
    Mutant("a window of a batch forgets what else is asked of its events", _LATEST,
           "return call.filter(and_(*keep)) if keep else call", "return call", ("Count of events",)),
    Mutant("a rebuild takes those in whose window is over", _STATEMENTS, "if negated == asked.below:",
           "if negated != asked.below:", ("NowCompare <=",)),
    Mutant("a rebuild looks at everybody in each slice", _FRAMES,
           "return contact_id.between(self.first, self.last)", "return contact_id.is_not(None)", ("Count of events",)),
    Mutant("a rebuild keeps of a group who has all that it says", _FRAMES,
           "or_(*(column.is_not(None) for _, column in columns))", "columns[0][1].is_not(None)", ("NowCompare <=",)),
    Mutant("a group that is made once is joined to nobody", _STATEMENTS, "        joined |= names\n", "",
           ("Count of events",)),
    # -- next change
    Mutant("SQL tells the last instant inside a window", _TIMING, 'if atom.op in ("<", ">=")',
           'if atom.op in ("<", "<=", ">=")', ("NowCompare <=",)),
    Mutant("events that have not happened yet are forgotten", _TIMING,
           "return sorted(", "return [] and sorted(", ("Count of events",)),
    Mutant("the sides of a count are taken for each other", _LATEST,
           'op = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}[op]', "pass", ("NowCompare <=",)),
    Mutant("the first event behind an edge is the first of all", _TIMING,
           "func.min(time).filter(and_(later, *_not_false(still, inner)))", "func.min(time)", ("NowCompare <=",)),
    Mutant("a count that is equal ends, and never begins, to be so", _TIMING, "[n + 1, n], frame)", "[n], frame)",
           ("NowCompare <=",)),
    Mutant("an unknown condition changes nothing with time", _TIMING,
           "compile_value(c, inner).is_not(False) for c in conditions",
           "compile_value(c, inner).is_(True) for c in conditions",
           ("NowCompare",)),
    Mutant("the first instant outside a window is inside it", _CHANGES, "else [STEP]", "else [timedelta(0)]",
           ("NowCompare <=",)),
    Mutant("an event that becomes visible changes nothing", _CHANGES,
           "instants = [e.time for name in types for e in view.events.get(name, ()) if e.time > at]",
           "instants = []", ("Count of events",)),
    # -- lowering
    Mutant("the opposite of unknown is known", _LOWERING, "return ir.Not(operand=operand, can_err=unsure(operand))",
           "return ir.Not(operand=operand, can_err=operand.can_err)", ("Not",)),
    Mutant("a choice is as sure as its branches", _LOWERING,
           "can_err=unsure(condition) or then.can_err or otherwise.can_err,",
           "can_err=then.can_err or otherwise.can_err,", ("Ternary",)),
    Mutant("a missing time is null", _LOWERING, 'if node.kind == "time" and node.can_null:', "if False:",
           ("Equal of time",)),
    Mutant("a sum passes over what is missing", _LOWER_LISTS, "        if element.can_null:", "        if False:",
           ("Aggregate of events",)),
    Mutant("a missing answer drops an item and spoils nothing", _LOWER_LISTS,
           "spoils=items.spoils or unsure(predicate),", "spoils=items.spoils or predicate.can_err,", ("Count",)),
    Mutant("a comparison is turned round and loses its edge", _LOWER_TIME, '"<=": ">="', '"<=": ">"',
           ("NowCompare >",)),
    # -- calendars and buckets
    Mutant("a birth date has the same day in every zone", _CALENDAR, "        and node.zone == time_zone\n", "",
           ("Calendar of getDate",)),
    Mutant("now is asked unmoved for its calendar", _CALENDAR,
           "return now + interval(node.shift) if node.shift else now", "return now", ("NowCalendar",)),
    Mutant("what a missing time says on a calendar is known", _LOWER_CALENDAR,
           "can_err=not inside or unsure(operand)", "can_err=False", ("Calendar",)),
    Mutant("there are a hundred buckets, however many were asked for", _CALENDAR, "literal_column(str(node.count))",
           'literal_column("100")', ("Bucket",)),
    # -- the other engines
    Mutant("CEL reads a missing time as 1970", _EVALUATOR, "            self._missing_time(expr)\n",
           "            pass\n", ("Compare of time",)),
    Mutant("CEL divides by zero", _EVALUATOR, '("_+_", "_-_", "_*_", "_/_")', '("_+_", "_-_", "_*_")', ("Arith /",)),
    Mutant("CEL compares texts unnormalised", _EVALUATOR,
           'unicodedata.normalize("NFC", expr.const_expr.string_value)', "expr.const_expr.string_value",
           ("TextTest",)),
    Mutant("CEL adds doubles and not what is stored", _EVALUATOR, "if self._exact(expr)", "if False",
           ("Aggregate sum exact",)),
    Mutant("the interpreter takes missing for known", _INTERPRETER,
           "unknown = unknown or value is ERR or value is None", "unknown = unknown or value is ERR", ("And", "Or")),
    # -- upkeep
    Mutant("who was a member of nothing enters nothing", _STORE,
           "WHERE r.segments <> m.segments", "WHERE r.segments <> m.segments AND m.segments <> '{{}}'"),
    Mutant("a later step puts off what is due earlier", _STORE,
           '"r.next_change" if first else "LEAST(s.next_change, r.next_change)"', '"r.next_change"'),
    Mutant("a step expels members of segments it does not judge", _STORE,
           "::int[])\" if others else", "::int[])\" if not others else"),
    Mutant("who leaves makes a segment larger", _STORE,
           "SELECT segment_number, sum(CASE WHEN entered THEN 1 ELSE -1 END) FROM changed\n    GROUP BY",
           "SELECT segment_number, count(*) FROM changed\n    GROUP BY"),
    Mutant("what was never due stays so", _STORE, "s.next_change IS DISTINCT FROM {next_change}",
           "s.next_change <> {next_change}"),
    Mutant("entering is told as leaving", _STORE,
           "SELECT segment_number, contact_id, true AS entered FROM entered\n    UNION ALL SELECT segment_number, "
           "contact_id, false FROM gone",
           "SELECT segment_number, contact_id, false AS entered FROM entered\n    UNION ALL SELECT segment_number, "
           "contact_id, true FROM gone"),
)  # fmt: skip
