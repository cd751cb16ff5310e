"""Every resource once, the way an integrator would use it; amounts are decimal texts all the way."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.gateway.api.client import Client
from tests.processing.books import GIFT, MONEY, MOSCOW, PLAIN, URAL, Books

PHONE = "+79210000001"


def ref(card: str) -> dict[str, str]:
    return {"scheme": "card", "value": card}


def receipt(total: str = "1000.00", **more: Any) -> dict[str, Any]:
    return {"number": "17", "till": "5", "business_date": "2026-05-04", "total": total, **more}


def use(card: str, redeem: str = "") -> dict[str, Any]:
    paid = [{"unit": "BONUS", "amount": redeem}] if redeem else []
    return {"refs": [ref(card)], "redeem": paid}


LINES = [
    {"number": 1, "goods": "tea", "quantity": "2", "price": "250.00", "sum": "500.00"},
    {"number": 2, "goods": "cake", "quantity": "0.5", "price": "1000.00", "sum": "500.00"},
]


def balance(rest: Client, card: str, unit: str = "BONUS") -> dict[str, str]:
    found = rest.query("/cards/identify", store=MOSCOW, refs=[ref(card)]).ok()
    (one,) = [b for b in found["balances"] if b["unit"] == unit]
    return one


# Cards and holders ---------------------------------------------------------------------------------------------


def test_a_card_lives_from_issue_to_replacement(rest: Client) -> None:
    issued = rest.write("/cards", product=PLAIN, identifiers=[{"scheme": "barcode", "value": "2100001"}])
    assert (issued.status, issued.body["status"]) == (201, "issued")
    card = ref(issued.body["number"])
    assert rest.write("/cards/activate", card=card).ok()["number"] == issued.body["number"]
    assert rest.write("/cards/block", card=card, reason="lost").ok()["status"] == "blocked"
    blocked = rest.query("/cards/identify", store=MOSCOW, refs=[{"scheme": "barcode", "value": "2100001"}]).ok()
    assert (blocked["status"], blocked["usable"]) == ("blocked", "card_blocked")
    assert rest.write("/cards/unblock", card=card, reason="found").ok()["status"] == "active"
    assert rest.write("/cards/pin", card=card, pin="4711").ok()["number"] == issued.body["number"]
    replaced = rest.write("/cards/replace", card=card, reason="worn out").ok()
    assert replaced["old_number"] == issued.body["number"] != replaced["number"]
    assert replaced["account"] == issued.body["account"]
    assert rest.write("/cards/activate", card=card).code == "card_status_wrong"


def test_a_holder_is_registered_found_updated_and_erased(rest: Client, books: Books) -> None:
    card = books.card()
    registered = rest.write("/holders", card=ref(card), name="Anna Smirnova", phone="8 921 000-00-01").ok()
    found = rest.query("/cards/find", store=MOSCOW, text=PHONE).ok()
    assert [one["number"] for one in found["cards"]] == [card]
    assert rest.query("/cards/find", store=MOSCOW, text="smirn").ok()["cards"] == found["cards"]
    assert rest.query("/cards/find", store=MOSCOW, text="nobody").ok() == {"cards": [], "more": False}
    told = rest.get(f"/holders/{registered['holder_id']}").ok()
    assert (told["name"], told["phone"], told["birthday"]) == ("Anna Smirnova", PHONE, None)
    changed = rest.write("/holders", method="PATCH", card=ref(card), name="Anna Petrova", birthday="1990-05-04")
    assert changed.ok()["holder_id"] == registered["holder_id"]
    told = rest.get(f"/holders/{registered['holder_id']}").ok()
    assert (told["name"], told["phone"], told["birthday"]) == ("Anna Petrova", PHONE, "1990-05-04")
    assert rest.write("/holders/erase", card=ref(card), reason="her wish").ok()["holder_id"] == registered["holder_id"]
    assert rest.query("/cards/find", store=MOSCOW, text=PHONE).ok()["cards"] == []
    assert rest.get(f"/holders/{registered['holder_id']}").status == 404


def test_consents_are_records_that_stay(rest: Client, books: Books) -> None:
    card = books.card()
    holder = rest.write("/holders", card=ref(card), name="Anna").ok()["holder_id"]
    rest.write("/consents/give", card=ref(card), purpose="advertising", document="2026-01", channel="till").ok()
    books.clock.forward(hours=1)  # type: ignore[union-attr]
    rest.write("/consents/withdraw", card=ref(card), purpose="advertising", channel="phone").ok()
    told = rest.get(f"/holders/{holder}/consents").ok()["consents"]
    assert [(one["given"], one["channel"], one["store"]) for one in told] == [
        (False, "phone", MOSCOW),
        (True, "till", MOSCOW),
    ]


def test_two_holders_are_merged(rest: Client, books: Books) -> None:
    one, two = books.card(10_000), books.card(5_000)
    merged = rest.write("/holders/merge", source=ref(one), target=ref(two), reason="twins").ok()
    assert (merged["outcome"], merged["holds"]) == ("merged", 0)
    assert balance(rest, one)["balance"] == balance(rest, two)["balance"] == "150.00"


def test_a_token_names_its_card_for_a_while(rest: Client, books: Books) -> None:
    card = books.card()
    token = rest.query("/cards/token", refs=[ref(card)], seconds=60).ok()["token"]
    named = {"store": MOSCOW, "refs": [{"scheme": "token", "value": token}]}
    assert rest.query("/cards/identify", **named).ok()["number"] == card
    books.clock.forward(minutes=2)  # type: ignore[union-attr]
    assert rest.query("/cards/identify", **named).code == "card_not_found"


# Receipts --------------------------------------------------------------------------------------------------------


def test_a_quote_says_what_posting_then_does(rest: Client, books: Books) -> None:
    card = books.card(20_000)
    asked = {"receipt": receipt(lines=LINES), "cards": [use(card)]}
    quoted = rest.query("/quotes", store=MOSCOW, **asked).ok()
    assert (quoted["total"], quoted["cards"][0]["payable"], quoted["cards"][0]["earned"]) == (
        "1000.00",
        "200.00",
        "50.00",
    )
    assert [line["earned"] for line in quoted["lines"]] == ["25.00", "25.00"]
    posted = rest.write("/receipts", **asked)
    assert posted.status == 201
    (moved,) = posted.body["cards"]
    assert (moved["redeemed"], moved["earned"], moved["balance"]) == ("0.00", "50.00", "250.00")


def test_a_receipt_is_posted_read_voided_and_restored(rest: Client, books: Books) -> None:
    card = books.card(20_000)
    posted = rest.write("/receipts", "sale-1", receipt=receipt(lines=LINES), cards=[use(card, "100.00")]).ok()
    told = rest.get("/receipts", store=MOSCOW, key="rest:sale-1").ok()
    assert (told["operation_id"], told["state"]) == (posted["operation_id"], "posted")
    assert told["receipt"]["lines"][1]["quantity"] == "0.500"
    assert told["receipt"]["total"] == "1000.00"
    assert (told["cards"], told["sale"], told["sale_store"]) == (posted["cards"], "", "")
    assert (told["cards"][0]["redeemed"], told["cards"][0]["earned"]) == ("100.00", "45.00")
    voided = rest.ask("POST", "/receipts/void", {"store": MOSCOW, "keys": ["rest:sale-1"], "reason": "return"})
    assert voided.ok()["outcome"] == "reversed"
    assert balance(rest, card)["balance"] == "200.00"
    restored = rest.ask("POST", "/receipts/restore", {"store": MOSCOW, "keys": ["rest:sale-1"]})
    assert restored.ok()["outcome"] == "restored"
    assert balance(rest, card)["balance"] == "145.00"


def test_lines_come_back_in_pieces(rest: Client, books: Books) -> None:
    card = books.card(20_000)
    sold = rest.write("/receipts", "sale-2", receipt=receipt(lines=LINES), cards=[use(card, "100.00")]).ok()
    back = rest.write(
        "/receipts/return",
        "return-2",
        receipt=receipt("250.00", number="18"),
        sale="rest:sale-2",
        lines=[{"number": 1, "quantity": "1"}],
    )
    assert back.status == 201
    assert back.body["lines"] == [{"number": 1, "quantity": "1.000", "sum": None}]
    assert back.body["keep_back"] == "0.00"
    assert back.body["cards"][0]["redeemed"] == "25.00"
    own = rest.get("/receipts", store=MOSCOW, key="rest:return-2").ok()
    assert (own["kind"], own["returned"], own["cards"]) == ("return", back.body["lines"], back.body["cards"])
    assert (own["sale"], own["sale_store"]) == ("rest:sale-2", MOSCOW)
    told = rest.get("/receipts", store=MOSCOW, key="rest:sale-2").ok()
    assert told["returned"] == [{"number": 1, "quantity": "1.000", "sum": None}]
    by_number = {"sale_operation": sold["operation_id"]}
    both = rest.write("/receipts/return", receipt=receipt("1.00", number="19"), sale="rest:sale-2", **by_number)
    assert both.code == "bad_message"
    too_much = rest.write(
        "/receipts/return",
        receipt=receipt("500.00", number="19"),
        **by_number,
        lines=[{"number": 1, "quantity": "1.5"}],
    )
    assert (too_much.status, too_much.code) == (409, "return_exceeds")
    assert too_much.body["details"]["line"] == 1
    assert all(isinstance(too_much.body["details"][name], str) for name in ("left", "asked"))


def test_an_exchange_is_a_return_and_a_sale(rest: Client, books: Books) -> None:
    card = books.card(20_000)
    rest.write("/receipts", "sale-3", receipt=receipt(lines=LINES), cards=[use(card)]).ok()
    swapped = rest.write(
        "/exchanges",
        "swap-1",
        returned={"receipt": receipt("500.00", number="20"), "sale": "rest:sale-3", "lines": [{"number": 2}]},
        sold={"receipt": receipt("300.00", number="21"), "cards": [use(card)]},
    )
    assert swapped.status == 201
    assert swapped.body["returned"]["cards"][0]["earned"] == "25.00"
    assert swapped.body["sold"]["cards"][0]["earned"] == "15.00"
    told = rest.get("/receipts", store=MOSCOW, key="rest:swap-1:sold").ok()
    assert told["operation_id"] == swapped.body["sold"]["operation_id"]


def test_the_parts_of_an_exchange_belong_to_its_store(rest: Client) -> None:
    part = {"receipt": receipt(), "store": URAL}
    refused = rest.write("/exchanges", returned={"receipt": receipt()}, sold=part)
    assert (refused.status, refused.fields) == (422, {"sold.store"})


# Holds -----------------------------------------------------------------------------------------------------------


def test_a_hold_is_placed_looked_at_and_captured_in_part(rest: Client, books: Books) -> None:
    card = books.card(20_000)
    placed = rest.write("/holds", "hold-1", card=ref(card), unit="BONUS", amount="100.00", owner="order-17")
    assert (placed.status, placed.body["amount"], placed.body["available"]) == (201, "100.00", "100.00")
    assert balance(rest, card)["held"] == "100.00"
    told = rest.get("/holds", store=MOSCOW, key="rest:hold-1").ok()
    assert (told["state"], told["amount"], told["owner"]) == ("open", "100.00", "order-17")
    captured = rest.write("/holds/capture", hold="rest:hold-1", amount="60.5").ok()
    assert (captured["card"]["redeemed"], captured["released"]) == ("60.50", "39.50")
    assert rest.write("/holds/capture", hold="rest:hold-1").code == "hold_ended"


def test_a_hold_is_released(rest: Client, books: Books) -> None:
    card = books.card(20_000)
    rest.write("/holds", "hold-2", card=ref(card), unit="BONUS").ok()
    released = rest.write("/holds/release", hold="rest:hold-2").ok()
    assert (released["outcome"], released["unit"], released["amount"]) == ("released", "BONUS", "200.00")
    again = rest.write("/holds/release", hold="rest:hold-2").ok()
    assert (again["outcome"], again["amount"]) == ("nothing", "0")


def test_a_capture_counts_in_the_unit_of_its_hold(rest: Client, books: Books) -> None:
    card = books.card(7, unit="STAMP")
    rest.write("/holds", "hold-3", card=ref(card), unit="STAMP", amount="5").ok()
    refused = rest.write("/holds/capture", hold="rest:hold-3", amount="2.5")
    assert (refused.status, refused.fields) == (422, {"amount"})
    assert rest.write("/holds/capture", hold="rest:hold-3", amount="2").ok()["card"]["redeemed"] == "2"
    assert rest.write("/holds/capture", hold="rest:nobody", amount="2").code == "hold_not_found"


# Value without a receipt -------------------------------------------------------------------------------------------


def test_money_comes_moves_and_goes(rest: Client, books: Books) -> None:
    one, two = books.card(), books.card()
    topped = rest.write("/top-ups", card=ref(one), amount={"unit": "RUB", "amount": "1000"})
    assert (topped.status, topped.body["card"]["balance"]) == (201, "1000.00")
    moved = rest.write("/transfers", source=ref(one), target=ref(two), amount={"unit": "RUB", "amount": "400"}).ok()
    assert [card["balance"] for card in moved["cards"]] == ["600.00", "400.00"]
    paid = rest.write("/pay-outs", card=ref(two), unit="RUB").ok()
    assert (paid["card"]["redeemed"], paid["status"]) == ("400.00", "active")
    redeemed = rest.write("/redemptions", card=ref(one), unit="RUB", amount="99.99").ok()
    assert redeemed["card"]["balance"] == "500.01"


def test_points_are_given_without_a_receipt(rest: Client, books: Books) -> None:
    card = books.card()
    assert rest.write("/accruals", card=ref(card), amount={"unit": "BONUS", "amount": "30"}).ok()["flags"] == []
    assert balance(rest, card)["balance"] == "30.00"


def test_a_correction_says_why(rest: Client, books: Books) -> None:
    card = books.card(10_000)
    body = {"card": ref(card), "amount": {"unit": "BONUS", "amount": "-20.00"}}
    assert rest.write("/adjustments", **body).fields == {"reason"}
    done = rest.write("/adjustments", **body, reason="booked twice").ok()
    assert (done["outcome"], done["card"]["balance"]) == ("done", "80.00")
    operation = rest.get(f"/operations/{done['operation_id']}").ok()
    assert operation["actor"] == "shop"
    assert sorted(entry["amount"] for entry in operation["entries"]) == ["-20.00", "20.00"]
    assert operation["explanation"][0]["reason"] == "booked twice"
    assert rest.get(f"/operations/{done['operation_id']}/explanation").ok()["cards"] == []


def test_nobody_decides_on_what_was_not_asked_for(rest: Client) -> None:
    assert rest.write("/adjustments/decide", adjustment="rest:nothing", approve=True).code == "adjustment_not_found"


# Gift cards --------------------------------------------------------------------------------------------------------


def test_a_gift_card_is_sold_and_refunded(rest: Client, books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    products = books.core.work.directory.products
    monkeypatch.setitem(products, GIFT, msgspec.structs.replace(products[GIFT], value_unit=MONEY))
    sold = rest.write("/gift-cards", product=GIFT, amount="3000.00")
    assert (sold.status, sold.body["card"]["balance"]) == (201, "3000.00")
    card = ref(sold.body["number"])
    back = rest.write("/gift-cards/refund", card=card, unit="RUB").ok()
    assert (back["card"]["redeemed"], back["status"]) == ("3000.00", "closed")
    assert rest.write("/gift-cards/refund", card=card, unit="RUB").code == "card_closed"


@pytest.mark.parametrize("named", [{}, {"product": GIFT, "card": {"scheme": "card", "value": "1"}}])
def test_a_gift_card_is_one_that_exists_or_a_new_one(rest: Client, named: dict[str, Any]) -> None:
    refused = rest.write("/gift-cards", amount="3000.00", **named)
    assert (refused.status, refused.fields) == (422, {"card"})
