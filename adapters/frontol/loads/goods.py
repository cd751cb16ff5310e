"""The lines of goods: 68 fields in Frontol 6, fewer and other ones in older tills and relatives.

What each till takes: docs/adapters/frontol-loads.md, "Goods" (of the older ones as the 1C driver for ATOL writes them).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from adapters.frontol.loads.layouts import (
    ARTICLE,
    DATE,
    FLAG,
    FLAGS,
    GOODS_NAME,
    LIST,
    NAME,
    TEXT,
    Field,
    Layout,
    price,
    quantity,
    whole,
)

ADD, REPLACE = "ADDQUANTITY", "REPLACEQUANTITYWITHOUTSALE"
# The ware's flags in the order of field 8; what a record does not tell is as in the manual's sample.
FLAG_NAMES = (
    "fractional",
    "sale",
    "refund",
    "negative_stock",
    "without_quantity",
    "stock_write_off",
    "price_edit",
    "manual_quantity",
    "print",
    "pourable",
    "discounts",
    "ask_price",
    "ask_barcode",
    "rounding",
    "pack_split",
)
WINCE_FLAG_NAMES = (
    *FLAG_NAMES[:3],
    "without_quantity",
    "price_edit",
    "manual_quantity",
    "print",
    "discounts",
    "stock_write_off",
    "negative_stock",
)
USUALLY_SET = frozenset(
    {"sale", "refund", "negative_stock", "stock_write_off", "manual_quantity", "print", "discounts"}
)
# The 1C driver cuts names here; 6.x takes GOODS_NAME.
OLD_NAME = 100

# Of the text the manual gives no width: as of the name.
_COMMON = (
    Field(1, "id", TEXT, ARTICLE, required=True),
    Field(2, "barcodes", LIST),
    Field(3, "name", NAME, GOODS_NAME),
    Field(4, "text", NAME, GOODS_NAME),
    price(5, "price"),
    quantity(6, "stock"),
    Field(8, "flags", FLAGS, names=FLAG_NAMES),
    price(9, "min_price"),
    Field(10, "best_before", DATE),
    Field(11, "aspect_scheme", TEXT, ARTICLE),
    Field(12, "aspect_use", TEXT, ARTICLE),
    whole(13, "payment_subject"),
    quantity(14, "barcode_coefficient"),
    Field(16, "parent", TEXT, ARTICLE),
    whole(17, "is_ware", range(2), required=True),
    Field(20, "series", TEXT),
    Field(21, "certificate", TEXT),
    whole(23, "tax_group"),
    Field(24, "scales", TEXT),
    whole(25, "plu"),
    Field(26, "article", TEXT, ARTICLE),
    whole(27, "discount_type"),
    price(28, "discount_value"),
    price(29, "max_discount"),
    Field(31, "picture", TEXT),
    Field(32, "description", NAME),
    quantity(33, "quantity_step"),
)
_MIDDLE = (
    Field(34, "price_tag", TEXT),
    whole(35, "reward_type"),
    price(36, "reward_value"),
    whole(37, "section"),
    Field(38, "gtd", TEXT),
    *(whole(n, f"print_group_{name}") for n, name in enumerate(("receipt", "copy", "bill", "stamp"), 39)),
    whole(43, "enterprise"),
    Field(45, "scale_message", TEXT),
    *(Field(n, f"modifiers{n - 46}", TEXT) for n in range(47, 50)),
    Field(50, "scale_text", NAME),
    Field(52, "sale_without_mark", FLAG),
    whole(53, "alcohol_kind"),
    quantity(54, "volume"),
)
_SIX = (
    # 0 plain, 1 alcohol, 2 fur, 3 drugs, 4 tobacco, 5 shoes, 7 others that are marked ...
    whole(55, "item_type"),
    Field(56, "excise_stamp", FLAG),
    price(57, "strength"),
    whole(58, "payment_method"),
    Field(59, "agent", TEXT),
    price(60, "excise_sum"),
    Field(61, "country", TEXT),
    Field(62, "customs_declaration", TEXT),
    Field(63, "lottery", TEXT),
    Field(64, "ean13", TEXT),
    Field(65, "mark_check", TEXT),
    whole(66, "unit"),
    Field(67, "prescription", FLAG),
    Field(68, "loyalty", TEXT, 38),
)
_FIFTY_NINE = (
    Field(55, "alcohol", FLAG),
    # Here 0 means that the ware is marked.
    Field(56, "unmarked", FLAG),
    price(57, "strength"),
    Field(58, "maker_inn", TEXT),
    Field(59, "maker_kpp", TEXT),
)


@dataclass(frozen=True, slots=True)
class Till:
    """What a till takes of goods. ``empty``: fields that are left empty for it, whatever a record says."""

    length: int
    fields: tuple[Field, ...]
    flags: tuple[str, ...] = FLAG_NAMES[:11]
    empty: frozenset[str] = frozenset()
    takes_groups: bool = True
    layouts: dict[str, Layout] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        fields = tuple(self._own(each) for each in self.fields)
        made = {command: Layout(command, self.length, fields) for command in (ADD, REPLACE)}
        object.__setattr__(self, "layouts", made)

    def _own(self, each: Field) -> Field:
        if each.name == "flags":
            return replace(each, names=self.flags)
        if each.kind is NAME and each.width == GOODS_NAME and self.length < 68:
            return replace(each, width=OLD_NAME)
        return each


def _old(length: int, *empty: str, **changes: object) -> Till:
    fields = _COMMON if length == 33 else (*_COMMON, *_MIDDLE, *_FIFTY_NINE)
    return Till(length, fields, empty=frozenset(empty), **changes)  # type: ignore[arg-type]  # fields of Till


TILLS: dict[str, Till] = {
    "frontol6": Till(68, (*_COMMON, *_MIDDLE, *_SIX), FLAG_NAMES),
    "frontol5": _old(59),
    "frontol4": _old(59),
    "wince2": _old(33, "plu", flags=WINCE_FLAG_NAMES),
    "xpos15": _old(33, "stock", "tax_group", "plu"),
    "xpos16": _old(33, "tax_group", "plu"),
    "xpos17": _old(59, "tax_group", "plu"),
    "rmk": _old(33, "parent", takes_groups=False),
}
