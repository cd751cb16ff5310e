"""Goods: what systems know of what tills only name."""

from __future__ import annotations

from marshmallow import fields, validate

from gateway.api import fields as f
from gateway.api.schemas import RefSchema, example
from gateway.api.section import CommandBody, Section
from processing import commands
from processing.goods import MAX_CODE, MAX_NAME, MAX_NAMES

section = Section("goods", "What systems know of goods that tills only name")

WRITE = "goods:write"


class LearnGoodsSchema(CommandBody):
    makes = commands.LearnGoods
    example = example(code="A-100", name="Rye bread", category="bakery")
    code = f.text(MAX_CODE, required=True, describe="how tills call them", example="A-100")
    names = fields.List(
        fields.Nested(RefSchema),
        load_default=list,
        validate=validate.Length(max=MAX_NAMES),
        metadata={"description": "how else they are called, such as barcodes"},
    )
    name = f.text(MAX_NAME, load_default=None, describe="for people; with the category, or neither")
    category = f.text(MAX_CODE, least=0, load_default=None, describe="as programmes name it")


class GoodsLearnedSchema(f.Told):
    code = f.told("how tills call them")
    at = f.told_at()


section.command("/goods/learn", LearnGoodsSchema, GoodsLearnedSchema, WRITE, "Learn goods")
