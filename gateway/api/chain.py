"""What the chain is made of: partners, stores, units, products, and the links of its tills without secrets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from gateway.api import fields as f
from gateway.api import pages
from gateway.api.section import Section, ask_one, client, rest
from processing.chain import Product
from processing.commands import ReadChain
from processing.units import Unit, major

section = Section("chain", "Partners, stores, units, kinds of cards, links")


class PartnerSchema(f.Told):
    code = f.told()
    name = f.told()


class PartnersSchema(f.Told):
    partners = f.told_some(PartnerSchema)


class StoreSchema(f.Told):
    code = f.told()
    name = f.told()
    partner = f.told("code of the legal entity that owns it")
    zone = f.told("IANA time zone")


class StoresSchema(f.Told):
    stores = f.told_some(StoreSchema)


class UnitSchema(f.Told):
    code = f.told()
    kind = f.told("money or points")
    scale = f.told_whole("digits after the point")
    adjust_limit = f.told("a correction of more needs a second person; null for none", allow_none=True)


class UnitsSchema(f.Told):
    units = f.told_some(UnitSchema)


class ProductSchema(f.Told):
    code = f.told()
    name = f.told()
    kind = f.told("personal or bearer")
    programme = f.told("code of its rules")
    value = f.told_switch("carries money")
    pin = f.told_switch("pays only with its PIN")
    valid_days = f.told_whole("from activation; null for ever", allow_none=True)
    prefix = f.told("with which its numbers begin")
    length = f.told_whole("digits of its numbers in all")
    value_unit = f.told("code of the unit of its money; empty without value")
    amounts = f.told_texts("what it is sold for; empty for anything between the two below")
    least_amount = f.told("what it is sold for at least; null without value, and where amounts tell", allow_none=True)
    most_amount = f.told("and at most", allow_none=True)


class ProductsSchema(f.Told):
    products = f.told_some(ProductSchema)


class LinkSchema(f.Told):
    code = f.told("as in its address")
    adapter = f.told("the protocol that it speaks")
    store = f.told("for whom it speaks")
    enabled = f.told_switch("false: every message is refused")


class LinksSchema(f.Told):
    links = f.told_some(LinkSchema)


class UnitToldSchema(f.Told):
    unit = f.told("code of the unit")
    kind = f.told("money or points")
    scale = f.told_whole("digits after the point")


class TierToldSchema(f.Told):
    tier = f.told("code of the tier")
    ru = f.told("what it is called")
    en = f.told("what it is called")


class ProgrammeToldSchema(f.Told):
    programme = f.told("code of the programme")
    unit = f.told("code of its points")
    since = f.told_at("when the version that works has started")
    tiers = f.told_some(TierToldSchema, "from the lowest")


class ChainToldSchema(f.Told):
    store = f.told("code of the store")
    name = f.told("what it is called")
    partner = f.told("code of the legal entity that owns it")
    zone = f.told("IANA time zone")
    units = f.told_some(UnitToldSchema)
    programmes = f.told_some(ProgrammeToldSchema)


READ = "chain:read"


@section.read("/partners", PartnersSchema, READ)
def read_partners() -> Any:
    """Read the partners

    The legal entities of the chain.
    """
    with rest().database.reading() as connection:
        return {"partners": pages.partners(connection)}


@section.read("/stores", StoresSchema, READ)
def read_stores() -> Any:
    """Read the stores

    All of them, or those for which the client may speak.
    """
    own = client().stores
    with rest().database.reading() as connection:
        return {"stores": [row for row in pages.stores(connection) if own is None or row.code in own]}


@section.read("/stores/<string:store>/chain", ChainToldSchema, READ)
def read_chain(store: str) -> Any:
    """Read a store's chain

    What the store is, and the units, programmes and tiers that its guests meet. Errors: ForeignStore.
    """
    client().check_store(store)
    return ask_one(ReadChain(store=store))


@section.read("/units", UnitsSchema, READ)
def read_units() -> Any:
    """Read the units

    Kinds of value, and how many digits their amounts have.
    """
    return {"units": [_unit(unit) for unit in rest().directory.units.values()]}


def _unit(unit: Unit) -> SimpleNamespace:
    limit = None if unit.adjust_limit is None else major(unit.adjust_limit, unit.scale)
    return SimpleNamespace(code=unit.code, kind=unit.kind, scale=unit.scale, adjust_limit=limit)


@section.read("/products", ProductsSchema, READ)
def read_products() -> Any:
    """Read the kinds of cards

    What may be issued, and by which rules.
    """
    return {"products": [_product(product) for product in rest().directory.products.values()]}


def _product(product: Product) -> SimpleNamespace:
    unit = rest().directory.units.get(product.value_unit)
    scale = f.READER.get().money_scale if unit is None else unit.scale
    has_bounds = product.value and not product.amounts
    return SimpleNamespace(
        code=product.code,
        name=product.name,
        kind=product.kind,
        programme=product.programme,
        value=product.value,
        pin=product.pin,
        valid_days=product.valid_days,
        prefix=product.prefix,
        length=product.length,
        value_unit=product.value_unit,
        amounts=[major(amount, scale) for amount in product.amounts],
        least_amount=major(product.least_amount, scale) if has_bounds else None,
        most_amount=major(product.most_amount, scale) if has_bounds else None,
    )


@section.read("/links", LinksSchema, READ)
def read_links() -> Any:
    """Read the links

    The configured connections of tills, without their secrets and addresses.
    """
    own = client().stores
    links = rest().settings.links.values()
    return {"links": [link for link in links if own is None or link.store in own]}
