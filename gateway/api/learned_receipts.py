"""Receipts that other systems keep: told afterwards, compared with what was booked."""

from __future__ import annotations

from typing import Any

from gateway.api import fields as f
from gateway.api.receipts import LineSchema
from gateway.api.schemas import RefSchema, example, in_unit
from gateway.api.section import CommandBody, Section
from processing import commands
from processing.commands import MAX_LINES
from processing.learned_receipts import MAX_DOCUMENT

section = Section("learned", "Receipts that other systems keep")

# Not that of posting: who posts receipts shall not be able to tell what they are compared with.
LEARN = "receipts:learn"


class LearnReceiptSchema(CommandBody):
    makes = commands.LearnReceipt
    example = example(
        document="6f0c2a4e-0000-4000-8000-000000000017",
        unit="BONUS",
        at="2026-05-04T16:52:00+03:00",
        card_ref={"scheme": "onec", "value": "6f0c2a4e-0000-4000-8000-000000000001"},
        redeemed="81.00",
        earned="10.95",
        total="300.00",
    )
    document = f.text(MAX_DOCUMENT, required=True, describe="what the other system calls it", example="6f0c2a4e-17")
    unit = f.unit()
    at = f.instant("when it was closed", required=True)
    card_ref = f.nested(RefSchema, "the card by an id of that system: no number, phone or e-mail", load_default=None)
    redeemed = f.amount("that it took off the card; of a return, that it gives back", load_default="0")
    earned = f.amount("that it brought to the card; of a return, that it takes back", load_default="0")
    is_return = f.switch("goods came back")
    sale = f.text(MAX_DOCUMENT, describe="of a return: the document of its sale", example="6f0c2a4e-16")
    till = f.text(MAX_DOCUMENT, describe="what the other system calls the till", example="till-1")
    total_minor = f.money("of the receipt", None, data_key="total", load_default=None)
    lines = f.some(f.nested(LineSchema), MAX_LINES, "the goods")
    withdrawn = f.switch("it counts no more")

    def prepared(self, data: dict[str, Any]) -> dict[str, Any]:
        amounts = {name: in_unit(data["unit"], data[name], 0, name) for name in ("redeemed", "earned")}
        return {**data, **amounts}


class ReceiptLearnedSchema(f.Told):
    document = f.told("what the other system calls it")
    at = f.told_at()
    is_known = f.told_switch("it counts")


section.command(
    "/receipts/learn", LearnReceiptSchema, ReceiptLearnedSchema, LEARN, "Tell of a receipt that another system keeps"
)
