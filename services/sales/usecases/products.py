"""Products: made, changed, read; and demanded by those who name them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from services.kit.errors import FieldViolation, InvalidArgument, NotFound
from services.kit.runtime import Runtime
from services.sales.domain import Line, Product
from services.sales.store import products as store

_LONGEST_LIST = 4000


def upsert_products(runtime: Runtime, products: Sequence[Product]) -> tuple[int, int]:
    """Create or change products by code, all or none; return how many were made and how many changed."""
    seen: dict[str, int] = {}
    violations = [
        FieldViolation(f"products[{index}].code", f"{item.code!r} stands in products[{first}] already")
        for index, item in enumerate(products)
        if (first := seen.setdefault(item.code, index)) != index
    ]
    if violations:
        raise InvalidArgument(
            f"each code at most once: {violations[0].field} {violations[0].description}",
            reason="DUPLICATE_CODE",
            violations=violations[:100],
        )
    with runtime.db.transaction() as connection:
        return store.upsert(connection, products, runtime.clock.now())


def get_product(runtime: Runtime, code: str) -> Product:
    """Return a product; raises NotFound."""
    with runtime.db.read() as connection:
        found = store.get(connection, code)
    if found is None:
        raise NotFound(
            f"there is no product with the code {code!r}", reason="PRODUCT_NOT_FOUND", metadata={"code": code}
        )
    return found


def list_products(runtime: Runtime, *, after: str, count: int) -> list[Product]:
    """Return the next products by code."""
    with runtime.db.read() as connection:
        return store.page(connection, after=after, count=count)


def require_products(connection: Connection, lines: Iterable[Line]) -> dict[str, str]:
    """Return the categories of the products that the lines name; raises NotFound naming the missing ones."""
    codes = {line.product_code for line in lines}
    categories = store.categories(connection, codes)
    missing = sorted(codes - categories.keys())
    if missing:
        named = _join(missing)
        raise NotFound(
            f"{'no product has the code' if len(missing) == 1 else 'no products have the codes'} {named}; "
            "make them with BatchUpsertProducts first",
            reason="PRODUCT_NOT_FOUND",
            metadata={"codes": named},
        )
    return categories


def _join(codes: Sequence[str]) -> str:
    """List the codes; an error travels in a header of limited size, so a very long list ends with a count."""
    text = ""
    for index, code in enumerate(codes):
        longer = f"{text}, {code}" if text else code
        if len(longer.encode()) > _LONGEST_LIST:
            return f"{text} and {len(codes) - index} more"
        text = longer
    return text
