"""What is said to iiko's cloud, and what is made of its answers, one rule at a time."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from marshmallow import ValidationError
from msgspec.structs import replace

from adapters.contract import Call, HttpReply, Job, Link, Message, Reply
from adapters.iiko_cloud import ADAPTER
from adapters.iiko_cloud.login import MOST_SECONDS, lifetime, login
from adapters.iiko_cloud.options import IikoCloudOptions
from adapters.talks import listen
from adapters.testing.lines import UNHEARD, Cut, Line, Run, Said
from processing.commands import Accrue, EnrolHolder, Redeem
from processing.errors import BadReply, LinkDown, LinkRefused, NotYet
from processing.results import Balance, WalletsTold, WalletTold
from tests.adapters.iiko_cloud.far_side import SECRETS, WALLET, WEBHOOKS, Chain, card, link, message, wallet
from tests.adapters.iiko_cloud.stub import AT, BONUS, GIFT, LOYALTY, ORGANIZATION, No, Person

INFO, TOP_UP, CHARGE_OFF = (LOYALTY + "customer/" + name for name in ("info", "wallet/topup", "wallet/chargeoff"))
BY_DATE, BY_REVISION = (LOYALTY + f"customer/transactions/by_{name}" for name in ("date", "revision"))
GUEST = "b6a9c3c2-8f5b-4f0e-9f5e-3f2f6d1c7a77"


def cloud(*wallets: WalletTold, **stub: Any) -> Chain:
    far = Chain(**stub)
    far.wallets_of_ours = wallets or (wallet(),)
    return far


def known(far: Chain, points: str = "0", told: WalletTold | None = None) -> Person:
    """A guest who is the first wallet's holder."""
    ours = told or far.wallets_of_ours[0]
    guest = Person(f"{GUEST[:-2]}{ours.account}", 0, phone=ours.phone, wallets={BONUS: Decimal(0)})
    guest.cards = {each.number: each.number for each in ours.cards}
    guest.person = {"name": ours.name}
    far.guests.append(guest)
    if Decimal(points):
        far.move(guest, BONUS, Decimal(points), "before us")
    return guest


def said(far: Chain, *messages: Message, to: Link | None = None, fault: Any = None, attempt: int = 1) -> Run:
    """One try of these messages, or of a pull; without a login in ``far.calls``."""
    line = Line(ADAPTER, to or link(), far, SECRETS)
    job = Job(AT, attempt, messages)
    run = line.run(job, fault) if fault else line.run(job)
    far.calls = [path for path in far.calls if "access_token" not in path]
    return run


# Balances


def test_a_balance_is_looked_up_before_it_is_said_and_its_message_is_named() -> None:
    far = cloud()
    guest = known(far, "100.25")
    assert said(far, message(1)).error is None
    assert far.calls == [INFO, BY_DATE, TOP_UP] and far.balance() == Decimal("150.5")
    assert guest.rows[-1].comment == f"tillgate {message(1).id}" and guest.rows[-1].amount == Decimal("50.25")


def test_a_balance_that_agrees_costs_one_call() -> None:
    far = cloud()
    known(far, "150.50")
    assert said(far, message(1)).error is None and far.calls == [INFO]


def test_less_than_iiko_has_is_charged_off() -> None:
    far = cloud(wallet(17, 0))
    known(far, "7.01")
    said(far, message(1))
    assert far.calls[-1] == CHARGE_OFF and far.balance() == 0


@pytest.mark.parametrize("others", ["0", "25"])
def test_an_answer_that_is_lost_is_looked_up_and_nothing_is_said_twice(others: str) -> None:
    """Also where others have moved the wallet meanwhile: that is told by the pull, and levelled by the next change."""
    far = cloud()
    guest = known(far)
    step = 3  # login, info, report, top-up
    error = said(far, message(1), fault=Cut(step, UNHEARD)).error
    assert isinstance(error, LinkDown) and error.retry_seconds == 30, "until it is done or never will be"
    if int(others):
        far.move(guest, BONUS, Decimal(others), "at the till")
    far.calls.clear()
    assert said(far, message(1), attempt=2).error is None
    assert TOP_UP not in far.calls and CHARGE_OFF not in far.calls
    assert far.balance() == Decimal("150.5") + int(others)
    assert said(far, message(2)).error is None and far.balance() == Decimal("150.5")


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_write_that_nobody_answers_for_waits_and_a_read_goes_by_the_policy(status: int) -> None:
    for step, wait in ((1, None), (3, 30)):
        far = cloud()
        known(far)
        error = said(far, message(1), fault=Said(step, HttpReply(status, {}, b""), is_done=False)).error
        assert isinstance(error, LinkDown) and error.retry_seconds == wait, (step, error)


def test_a_write_is_sent_once_and_a_read_may_be_repeated() -> None:
    far = cloud()
    known(far)
    far.wallets_of_ours = (wallet(17, 150_50, card("7701000019"), card("7701000017")),)
    repeatable = {step.told.path: step.told.repeatable for n in (1, 2) for step in _steps(far, n)}
    writes = {path for path, is_safe in repeatable.items() if not is_safe}
    assert writes == {TOP_UP, LOYALTY + "customer/card/add", LOYALTY + "customer/card/remove"}


def _steps(far: Chain, n: int) -> list[Any]:
    far.guests[0].cards.setdefault("7701000099", "7701000099")
    cards = (card("7701000099", "closed"), *far.wallets_of_ours[0].cards)
    far.wallets_of_ours = (replace(far.wallets_of_ours[0], cards=cards),)
    return said(far, message(n, "card_changed" if n == 2 else "balance_changed")).steps


def test_what_cannot_be_spent_is_not_shown() -> None:
    held = Balance(unit="BONUS", scale=2, balance=100_00, available=30_00)
    debt = Balance(unit="BONUS", scale=2, balance=-5_00, available=-5_00)
    for balance, cards, shows in (
        (held, (card("7701000017"),), "30"),
        (debt, (card("7701000017"),), "0"),
        (held, (card("7701000017", "blocked"),), "0"),
    ):
        told = WalletTold(
            account=17, accounts=(17,), cards=cards, balances=(balance,), holder_id=5, phone="+79990001122"
        )
        far = cloud(told)
        known(far, "12.34")
        said(far, message(1))
        assert far.balance() == Decimal(shows)


def test_a_card_that_is_past_its_time_pays_no_more() -> None:
    for ends_at, shows in ((AT, 0), (AT + timedelta(seconds=1), Decimal("150.5"))):
        told = replace(card("7701000017"), expires_at=ends_at)
        far = cloud(wallet(17, 150_50, told))
        known(far, "10")
        assert said(far, message(1)).error is None and far.balance() == shows


def test_an_erased_holder_whose_wallet_is_somebody_else_s_by_now_takes_nobody_with_them() -> None:
    far = cloud()
    guest = known(far)
    assert said(far, message(1, "holder_changed", change="erased")).error is None and not guest.is_deleted
    far.wallets_of_ours = (wallet(17, 0, holder_id=0),)
    assert said(far, message(1, "holder_changed", change="erased")).error is None and guest.is_deleted


def test_a_card_that_is_blocked_takes_the_balance_with_it() -> None:
    far = cloud(wallet(17, 150_50, card("7701000017", "blocked")))
    guest = known(far, "150.50")
    assert said(far, message(1, "card_changed")).error is None
    assert far.balance() == 0 and guest.cards, "by its last card a guest is found"


def test_wallets_and_units_that_are_none_of_iikos_cost_nothing() -> None:
    far = cloud(wallet(17, 5_00, card("7701000017", product="gift")))
    assert said(far, message(1)).error is None and said(far, message(2, account=99)).error is None
    assert not far.calls
    far = cloud(wallet(17, 0))
    assert said(far, message(1)).error is None and not far.guests, "nobody is made for a balance of nothing"
    far = cloud()
    assert said(far, message(1, unit="MILES")).error is None and not far.guests


def test_a_guest_without_the_wallet_gets_it_by_the_programme_or_a_person_has_to_act() -> None:
    far = cloud(wallets=())
    assert said(far, message(1)).error is None and far.balance() == Decimal("150.5")
    far = cloud(wallets=())
    error = said(far, message(1), to=link(wallets=[{"unit": "BONUS", "id": BONUS}])).error
    assert isinstance(error, LinkRefused) and "programme" in error.message


def test_a_message_that_somebody_has_spoilt_is_refused() -> None:
    assert isinstance(said(cloud(), message(1, account="17")).error, LinkRefused)


# Guests


def test_a_guest_is_made_once_and_waited_for() -> None:
    far = cloud(lag_seconds=60)
    error = said(far, message(1)).error
    assert isinstance(error, NotYet) and error.retry_seconds == 10
    assert isinstance(said(far, message(1)).error, NotYet), "still not to be seen: the same guest, by phone and card"
    far.later()
    assert said(far, message(1)).error is None
    (guest,) = far.guests
    assert guest.phone == "+79990001122" and guest.cards == {"7701000017": "7701000017"}
    assert guest.person == {"name": "Anna Petrova"} and far.balance() == Decimal("150.5")


def test_a_guest_who_never_comes_to_be_seen_is_a_line_that_fails() -> None:
    """What is not yet burns no attempt, and so would be seen by nobody, and hold up the queue for ever."""
    far = cloud(lag_seconds=3_600)
    assert isinstance(said(far, message(1)).error, NotYet)
    error = Line(ADAPTER, link(), far, SECRETS).run(Job(AT + timedelta(minutes=20), 1, (message(1),))).error
    assert isinstance(error, LinkDown) and error.retry_seconds == 10


def test_a_bearer_card_is_a_guest_without_a_phone() -> None:
    far = cloud(wallet(17, 150_50, holder_id=0))
    said(far, message(1))
    (guest,) = far.guests
    assert not guest.phone and guest.cards and not guest.person
    far.wallets_of_ours = (wallet(),)
    assert said(far, message(2, "holder_changed", change="registered")).error is None
    assert guest.phone == "+79990001122" and guest.person == {"name": "Anna Petrova"}


def test_a_phone_that_somebody_else_has_there_makes_nobody_rich_twice() -> None:
    """A bearer card's guest keeps the balance; a person merges the two."""
    far = cloud(wallet(17, 150_50, holder_id=0))
    said(far, message(1))
    site = known(far, told=wallet(18, 0, card("7701000099")))
    far.wallets_of_ours = (wallet(),)
    error = said(far, message(2, "holder_changed", change="registered")).error
    assert isinstance(error, LinkRefused) and "Customer_PhoneExists" in error.message
    assert said(far, message(3)).error is None
    assert site.wallets[BONUS] == 0 and sum(each.wallets[BONUS] for each in far.guests) == Decimal("150.5")


def test_the_guest_of_a_merged_wallet_shows_nothing_any_more() -> None:
    one, two = wallet(17, 50_00, holder_id=0), wallet(18, 100_00)
    far = cloud(one, two)
    for told in (one, two):
        known(far, told=told)
        said(far, message(told.account, account=told.account))
    assert [guest.wallets[BONUS] for guest in far.guests] == [50, 100]
    merged = replace(wallet(18, 150_00, *one.cards, *two.cards), accounts=(17, 18))
    far.read = lambda query: WalletsTold(wallets=(merged,))  # type: ignore[method-assign]
    for n, account in ((20, 17), (21, 18), (20, 17)):
        assert said(far, message(n, account=account)).error is None
    assert sorted(guest.wallets[BONUS] for guest in far.guests) == [0, 150]


def test_cards_come_and_go_and_the_last_one_is_left() -> None:
    old, new = card("7701000016", "closed"), card("7701000017")
    far = cloud(wallet(17, 0, old, new, holder_id=0))
    guest = known(far)
    guest.cards = {old.number: "another track", "a card of others": "x"}
    assert said(far, message(1, "card_changed")).error is None
    assert guest.cards == {new.number: new.number, "a card of others": "x"}
    far.wallets_of_ours = (wallet(17, 0, old, card(new.number, "closed"), holder_id=0),)
    assert said(far, message(2, "card_changed")).error is None and new.number in guest.cards


def test_parts_of_a_name_that_iiko_has_beside_ours_stay() -> None:
    far = cloud(wallet(17, 0, holder_id=5, name="Anna", phone="+79990001122"))
    known(far).person = {"name": "Anna", "surName": "Petrova"}
    said(far, message(1, "holder_changed", change="updated"))
    assert far.calls == [INFO]


def test_a_refusal_that_does_not_say_not_found_is_not_taken_for_an_absence() -> None:
    for body in (b"", b"{}", b'{"code":"Transport_WrongCrmId","errorCode":"Common_OrganizationNotFound"}'):
        far = cloud()
        error = said(far, message(1), fault=Said(1, HttpReply(400, {}, body), is_done=False)).error
        assert isinstance(error, LinkRefused) and not far.guests
    assert "Common_OrganizationNotFound" in error.message


def test_an_answer_without_its_lists_is_not_taken_for_nothing() -> None:
    body = json.dumps({"id": GUEST, "cards": []}).encode()
    far = cloud()
    known(far, "10")
    said(far, message(1), fault=Said(1, HttpReply(200, {}, body)))
    assert far.balance() == 10


# The report


def test_the_report_is_read_to_its_end() -> None:
    far = cloud()
    guest = known(far, "1000")
    for _ in range(120):
        far.move(guest, BONUS, Decimal(-1), "coffee")
    far.move(guest, BONUS, Decimal(1), f"tillgate {message(1).id}")
    said(far, message(1))
    assert far.calls == [INFO, BY_DATE, BY_DATE], "its own movement stands on the second page"
    assert far.balance() == 881


def test_a_report_without_an_end_is_left() -> None:
    page = {"transactions": [_row(n) for n in range(100)], "pageSize": 100}
    far = cloud()
    known(far)
    fault = Said(2, HttpReply(200, {}, json.dumps(page).encode()), for_ever=True)
    assert isinstance(said(far, message(1), fault=fault).error, BadReply)


def _row(n: int) -> dict[str, Any]:
    return {"id": f"row {n}", "walletId": BONUS, "comment": "", "whenCreated": "2026-05-04 12:00:00.000"}


def test_a_report_by_revision_is_read_to_its_end_and_gone_on_with() -> None:
    far = cloud(wallet(17, 0))
    guest = known(far, "1000")
    for _ in range(230):
        far.move(guest, BONUS, Decimal("-0.5"), "coffee")
    booking = [WALLET | {"book_from": "2026-05-01"}]
    run = pulled(far, wallets=booking)
    assert far.calls == [INFO, *[BY_REVISION] * 3, INFO] and len(run.asks) == 231
    far.move(guest, BONUS, Decimal("-0.5"), "coffee")
    assert len(pulled(far, run.state, wallets=booking).asks) == 1
    small = cloud(wallet(17, 0), rows_in_page=7)
    for n in range(20):
        small.move(known(small) if not n else small.guests[0], BONUS, Decimal(1), "tea")
    assert len(pulled(small, wallets=booking).asks) == 20, "pages as small as the far side makes them"
    small.move(small.guests[0], BONUS, Decimal(1), f"tillgate {message(1).id}")
    said(small, message(1))
    assert small.balance() == 21 and small.calls[-3:] == [BY_DATE] * 3


# Looking after guests


def pulled(far: Chain, state: Any = None, **options: Any) -> Run:
    line = Line(ADAPTER, link(**options), far, SECRETS)
    run = line.run(Job(AT, state=state))
    far.calls = [path for path in far.calls if "access_token" not in path]
    return run


def notes(run: Run) -> list[str]:
    return [step.told.note for step in run.steps if getattr(step.told, "note", "")]  # type: ignore[union-attr]


def test_guests_are_looked_after_some_at_a_time_and_then_from_the_beginning() -> None:
    told = tuple(wallet(n, 0) for n in (17, 18, 19))
    far, state, seen = cloud(*told), None, []
    for each in told:
        known(far, told=each)
    for _ in range(3):
        run = pulled(far, state, guests_per_pull=2)
        state = run.state
        seen.append(state["after"])
    assert seen == [18, 0, 18] and far.calls == [INFO] * 5
    assert run.error is None and not notes(run)


def test_a_difference_is_told_with_what_others_have_moved() -> None:
    far = cloud(wallet(17, 100_00))
    guest = known(far)
    far.move(guest, BONUS, Decimal("120"), "tillgate 1")
    far.move(guest, BONUS, Decimal("-40.25"), "at the till")
    run = pulled(far)
    (told,) = notes(run)
    assert told == "wallet 17: 100.00 BONUS here, 79.75 at iiko; moved by others on 2026-05-04: -40.25"
    assert not run.asks and far.balance() == Decimal("79.75"), "nobody is paid without being asked"
    (again,) = notes(pulled(far, run.state))
    assert again == "wallet 17: 100.00 BONUS here, 79.75 at iiko", "what was told once is behind the place"
    assert "Anna" not in told and "7999" not in told


def test_a_guest_who_is_refused_by_name_does_not_hold_up_the_others() -> None:
    far = cloud(wallet(17, 0), wallet(18, 0))
    far.paths[INFO] = lambda told: _refused_once(far, told)
    run = pulled(far)
    assert run.error is None and run.state["after"] == 0 and len(far.calls) > 1
    assert notes(run) == ["wallet 17: customer/info: Card_IsDamaged, Transport_Other"]


def _refused_once(far: Chain, told: Any) -> Any:
    if told.get("cardNumber") == "7701000017":
        raise No("Transport_Other", "Card_IsDamaged")
    return far._info(told)


def test_a_hold_is_no_difference() -> None:
    balance = Balance(unit="BONUS", scale=2, balance=100_00, available=30_00)
    told = WalletTold(account=17, accounts=(17,), cards=(card("7701000017"),), balances=(balance,))
    for shows in ("100", "30"):
        far = cloud(told)
        known(far, shows)
        assert not notes(pulled(far)) and far.calls == [INFO]


def test_what_others_move_is_booked_from_the_day_on_that_the_link_names() -> None:
    far = cloud(wallet(17, 0))
    known(far, "50")
    far.move(far.guests[0], BONUS, Decimal("-20.5"), "at the till")
    run = pulled(far, wallets=[WALLET | {"book_from": "2026-05-04"}])
    accrued, redeemed = run.asks
    assert isinstance(accrued, Accrue) and accrued.amount.amount == 50_00 and accrued.fact
    assert isinstance(redeemed, Redeem) and redeemed.amount == 20_50 and redeemed.fact
    assert accrued.card.scheme == "wallet" and accrued.keys != redeemed.keys
    assert not pulled(far, wallets=[WALLET | {"book_from": "2026-05-05"}]).asks
    assert not pulled(far, run.state, wallets=[WALLET | {"book_from": "2026-05-04"}]).asks, "each was read once"


def test_a_row_that_does_not_tell_what_it_moved_is_told_and_not_booked() -> None:
    far = cloud(wallet(17, 0))
    known(far, "50")
    body = json.dumps({"transactions": [_row(1)], "lastRevision": 7, "lastTransactionId": "row 1"}).encode()
    line = Line(ADAPTER, link(wallets=[WALLET | {"book_from": "2026-05-04"}]), far, SECRETS)
    run = line.run(Job(AT), Said(2, HttpReply(200, {}, body)))
    assert not run.asks and "an unknown amount" in notes(run)[0]


def test_what_iiko_knows_of_a_person_is_learned_where_the_link_says_so() -> None:
    far = cloud(wallet(17, 0, holder_id=5, name="", phone="+79990001122"))
    known(far).person = {"name": "Anna", "surName": "Petrova", "birthday": "1990-05-06 00:00:00.000"}
    assert not pulled(far).asks
    (learned,) = pulled(far, learn=["name", "birthday", "email"]).asks
    assert isinstance(learned, EnrolHolder) and learned.name == "Anna Petrova" and str(learned.birthday) == "1990-05-06"
    assert learned.email is None and "Anna" not in learned.keys[0]


# Signing in


def sign(secrets: dict[str, str], answer: Callable[[Call], Reply], to: Link | None = None) -> Any:
    return listen(login(secrets, to or link()), answer)


def test_both_endpoints_are_spoken_to_by_the_secrets_that_there_are() -> None:
    for secrets, path, body in (
        ({"api_login": "a login"}, "/api/1/access_token", {"apiLogin": "a login"}),
        (
            {"api_key": "k", "app_id": "a", "client_secret": "s", "api_login": "older"},
            "/api/v2/access_token",
            {"apiKey": "k", "appId": "a", "clientSecret": "s"},
        ),
    ):
        calls: list[Any] = []
        session = sign(secrets, partial(_noted, calls))
        (call,) = calls
        assert (call.path, json.loads(call.body), call.signed) == (path, body, False)
        assert session.headers == {"authorization": "Bearer t"} and session.seconds == MOST_SECONDS
    with pytest.raises(LinkRefused, match="api_login"):
        sign({"api_key": "k"}, lambda call: HttpReply(200, {}, b""))


def _noted(calls: list[Call], call: Call) -> Reply:
    calls.append(call)
    return HttpReply(200, {}, b'{"token": "t"}')


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_login_that_is_refused_gives_no_message_up(status: int) -> None:
    with pytest.raises(LinkDown, match=str(status)):
        sign({"api_login": "x"}, lambda call: HttpReply(status, {}, b""))


@pytest.mark.parametrize("token", ["", "two words", "нет", "line\nbreak"])
def test_a_token_that_could_not_be_sent_is_none(token: str) -> None:
    with pytest.raises(BadReply):
        sign({"api_login": "x"}, lambda call: HttpReply(200, {}, json.dumps({"token": token}).encode()))


def test_a_token_is_kept_as_long_as_it_says_and_never_longer_than_55_minutes() -> None:
    def token(claims: object) -> str:
        return f"h.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.s"

    assert lifetime(token({"iat": 1000, "exp": 1001})) == 1
    assert lifetime(token({"iat": 1000, "exp": 500})) == 1
    assert (
        lifetime(token({"exp": 500})) == lifetime("opaque") == lifetime("a.%%.c") == lifetime("a.b.c") == MOST_SECONDS
    )
    body = json.dumps({"token": token({"iat": 0, "exp": 86_400})}).encode()
    assert sign({"api_login": "x"}, lambda call: HttpReply(200, {}, body)).seconds == MOST_SECONDS == 3300


def test_a_401_is_followed_by_one_login_and_one_repetition() -> None:
    """Whatever it means: a right that is missing and a path that there is not are told so too."""
    far = cloud()
    del far.paths[INFO]
    line = Line(ADAPTER, link(), far, SECRETS)
    assert isinstance(line.run(Job(AT, messages=(message(1),))).error, LinkRefused)
    assert [path.rpartition("/")[2] for path in far.calls] == ["access_token", "info", "access_token", "info"]


def test_a_test_message_asks_whether_the_login_may_speak_for_the_organization() -> None:
    test = Message(0, "test", {})
    assert said(cloud(), test).error is None
    other = link(organization="00000000-0000-0000-0000-000000000001")
    assert isinstance(said(cloud(), test, to=other).error, LinkRefused)


# Webhooks


def test_webhooks_are_set_where_they_differ_and_left_where_they_do_not() -> None:
    far = cloud()
    mine = link(webhooks=WEBHOOKS)
    for updates in (1, 1, 2):
        said(far, message(1), to=mine)
        assert far.calls.count("/api/1/webhooks/update_settings") == updates
        assert far.webhooks["webHooksUri"] == WEBHOOKS["uri"]
        assert far.webhooks["authToken"] == SECRETS["webhook_token"]
        assert far.webhooks["webHooksFilter"]["tableOrderFilter"] == {
            "orderStatuses": ["Closed", "Deleted"],
            "errors": False,
        }
        if updates == 1 and far.calls.count("/api/1/webhooks/settings") == 2:
            far.webhooks["webHooksFilter"]["tableOrderFilter"]["orderStatuses"] = ["New"]


def test_a_right_that_is_missing_stops_no_balance_and_the_pull_tells_of_it() -> None:
    far = cloud()
    far.rights = False
    assert said(far, message(1), to=link(webhooks=WEBHOOKS)).error is None and far.balance() == Decimal("150.5")
    (told,) = notes(pulled(far, webhooks=WEBHOOKS))
    assert told.startswith("webhooks: their settings may not be read")
    far = cloud(wallet(17, 0))
    far.paths["/api/1/webhooks/update_settings"] = lambda told: {}
    assert notes(pulled(far, webhooks=WEBHOOKS)) == [
        "webhooks: iiko has other settings, and the login may not change them"
    ]


# Options


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("organization", "not a uuid"),
        ("wallets", []),
        ("wallets", [WALLET, WALLET]),
        ("wallets", [WALLET, WALLET | {"unit": "GIFT"}]),
        ("wallets", [WALLET | {"foreign": True}]),
        ("products", []),
        ("webhooks", {"uri": "ftp://x"}),
        ("webhooks", {"uri": "https://x", "table_orders": ["closed"]}),
        ("person", ["phone"]),
        ("call_every_seconds", 0),
    ],
)
def test_options_that_make_no_sense_stop_the_start(name: str, value: Any) -> None:
    told = {"organization": ORGANIZATION, "products": ["guest"], "wallets": [WALLET, {"unit": "GIFT", "id": GIFT}]}
    assert IikoCloudOptions().load(told)
    with pytest.raises(ValidationError):
        IikoCloudOptions().load(told | {name: value})
