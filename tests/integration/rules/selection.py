"""Choose few of the rules that ``systematic`` can write, so that together they fill the table.

`python -m tests.integration.rules.selection` chooses anew and writes ``systematic_rules.txt`` (some minutes); do so
after a change of the table or of the templates. With `report` it prints how full the table is.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Mapping
from pathlib import Path
from random import Random

from services.segmentation.rules import RuleError, compile_rule
from tests.integration.rules import edges, generator, sides, store, systematic, table, vocabulary
from tests.integration.rules.cells import Cell, Observer

CHOSEN = Path(__file__).parent / "systematic_rules.txt"


def chosen() -> list[str]:
    """Return the rules chosen last."""
    return [line for line in CHOSEN.read_text(encoding="utf-8").splitlines() if not line.startswith("//")]


def cells_of(texts: list[str]) -> dict[str, frozenset[Cell]]:
    """Return the cells that occur when each rule is asked about each profile; rules that are refused are left out."""
    people = sides.people()
    found = {}
    for text in texts:
        try:
            rule = compile_rule(text, sides.REGISTRY)
        except RuleError:
            continue
        observer = Observer(sides.REGISTRY)
        for person in people:
            observer.observe(rule, person, sides.NOW)
        found[text] = frozenset(observer.cells)
    return found


def choose(cells: Mapping[str, frozenset[Cell]]) -> list[str]:
    """Return rules that have all cells among them: greedily, those first that add most."""
    texts = list(cells)
    left = set().union(*cells.values())
    queue = [(-len(cells[text]), number) for number, text in enumerate(texts)]
    heapq.heapify(queue)
    taken = []
    while left:
        _, number = heapq.heappop(queue)
        gain = len(cells[texts[number]] & left)
        if queue and gain < -queue[0][0]:
            heapq.heappush(queue, (-gain, number))
        elif gain:
            taken.append(number)
            left -= cells[texts[number]]
    return [texts[number] for number in sorted(taken)]


def report(cells: set[Cell], drawn: set[Cell]) -> str:
    """Return the table as text: for each operator how many cells the chosen rules fill, and how many random ones do."""
    supported = table.supported()
    lines = [f"{'operator':34} {'cells':>6} {'chosen':>7} {'random':>7}"]
    for operator in sorted({cell.operator for cell in supported}):
        row = {cell for cell in supported if cell.operator == operator}
        lines.append(f"{operator:34} {len(row):6} {len(row & cells):7} {len(row & drawn):7}")
    lines.append(f"{'all':34} {len(supported):6} {len(supported & cells):7} {len(supported & drawn):7}")
    return "\n".join(lines)


def drawn(count: int) -> set[Cell]:
    """Return the cells that random rules reach on random profiles."""
    random = Random(count)
    observer = Observer(vocabulary.REGISTRY)
    for _ in range(count):
        try:
            rule = compile_rule(generator.make_rule(random.choice), vocabulary.REGISTRY)
        except RuleError:
            continue
        for person in store.with_ids([generator.make_profile(random.choice) for _ in range(4)]):
            observer.observe(rule, person, vocabulary.NOW)
    return set(observer.cells)


def main() -> None:
    """Choose and write, or print the report when asked for it."""
    if sys.argv[1:] == ["report"]:
        seen = cells_of([*edges.windows(), *edges.instants(), *edges.kept(), *chosen()])
        print(report(set().union(*seen.values()), drawn(2000)))  # noqa: T201
        return
    cells = cells_of([text for _, text in systematic.rules()])
    taken = choose(cells)
    head = (
        "// Chosen by tests/integration/rules/selection.py from what systematic.py can write; do not edit.\n"
    )
    CHOSEN.write_text(head + "".join(f"{text}\n" for text in taken), encoding="utf-8")
    missing = table.supported() - set().union(*cells.values())
    print(f"{len(taken)} rules of {len(cells)}; {len(missing)} cells are not filled")  # noqa: T201
    for cell in sorted(missing):
        print(f"  {cell}")  # noqa: T201


if __name__ == "__main__":
    main()
