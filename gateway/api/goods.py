"""Goods: what tills call them, told by the office."""

from __future__ import annotations

from marshmallow import fields

from gateway.api import fields as f
from gateway.api.schemas import example
from gateway.api.section import CommandBody, Made, Section
from processing import commands
from processing.commands import MAX_GOODS
from processing.goods import MAX_NAMES, MAX_TEXT

section = Section("goods", "What tills call goods")


class GoodsSchema(Made):
    makes = commands.Goods
    names = f.some(
        f.text(MAX_TEXT, required=True), MAX_NAMES, "what tills may call it; the office's own first", least=1
    )
    category = f.text(MAX_TEXT, 0, describe="by which rules look at it", example="coffee")
    brand = f.text(MAX_TEXT, 0, describe="likewise", example="Illy")


class LearnGoodsSchema(CommandBody):
    makes = commands.LearnGoods
    example = example(goods=[{"names": ["A-17", "4600000000017"], "category": "coffee", "brand": "Illy"}])
    goods = f.some(fields.Nested(GoodsSchema), MAX_GOODS, "what is told of goods", least=1)


class GoodsLearnedSchema(f.Told):
    goods = f.told_whole("how many things were told")
    names = f.told_whole("how many names of them")
    at = f.told_at()


section.command("/goods/learn", LearnGoodsSchema, GoodsLearnedSchema, "goods:write", "Tell what goods are called")
