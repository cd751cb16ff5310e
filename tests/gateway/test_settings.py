"""Configuration is exact or refused: every mistake is told with file, path, what was found and expected."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from marshmallow import RAISE, Schema, fields, validate

from adapters.contract import Adapter, Auth, FiscalWays, Route
from gateway.credentials import LinkSecret
from gateway.settings import Fiscal, GatewaySettings, Settings, load
from processing.chain import Partner, Product, Store
from processing.errors import ConfigError
from processing.programme.document import Percent, simple
from processing.units import Unit

CONFIGS = Path(__file__).parents[2] / "configs"
SECRET = "0123456789abcdef0123456789abcdef"
ENVIRON = {"TILLGATE_LINK_BISTRO": SECRET}


class _Purse(Schema):
    class Meta:
        unknown = RAISE

    number = fields.Integer(required=True, strict=True, validate=validate.Range(1, 8))
    unit = fields.String(required=True)
    name = fields.String(load_default="")


class _Options(Schema):
    class Meta:
        unknown = RAISE

    restaurant_codes = fields.List(fields.String())
    purses = fields.Dict(keys=fields.Raw(), values=fields.Nested(_Purse), load_default=dict)
    default_purse = fields.String()
    discounts = fields.Dict(values=fields.Integer(strict=True))
    bonuses = fields.Dict(values=fields.Integer(strict=True))
    supersede = fields.Boolean(load_default=True)


def _never(*_: Any) -> Any:
    raise NotImplementedError


FAKE = Adapter("rkeeper", "r_keeper", _Options, _never, (Route("x", _never, Auth("secret_path")),))

Change = Callable[..., None]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A copy of the sample configuration, to be spoiled."""
    copy = tmp_path / "configs"
    shutil.copytree(CONFIGS, copy, ignore=shutil.ignore_patterns("adapters"))
    return copy


@pytest.fixture
def change(directory: Path) -> Change:
    """Replaces a piece of text, which must be there, in one file."""

    def replace(name: str, old: str, new: str) -> None:
        text = (directory / name).read_text()
        assert old in text
        (directory / name).write_text(text.replace(old, new))

    return replace


def problems(directory: Path, environ: dict[str, str] = ENVIRON) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(directory, environ, {"rkeeper": FAKE})
    # Of the line in the file one test says what it is.
    return [re.sub(r"(\.yaml):[0-9]+:", r"\1:", line) for line in str(caught.value).splitlines()]


def good(directory: Path, environ: dict[str, str] = ENVIRON) -> Settings:
    return load(directory, environ, {"rkeeper": FAKE})


def test_sample_configuration_loads_with_the_registered_adapters() -> None:
    settings = load(CONFIGS, ENVIRON)
    assert settings.links["bistro"].options["purses"]["10"] == {"number": 1, "unit": "BONUS", "name": "баллы"}
    assert settings.gateway == GatewaySettings()


def test_sample_configuration_says_what_it_shows() -> None:
    settings = good(CONFIGS)
    chain = settings.chain
    units = (Unit("RUB", "money", 2), Unit("BONUS", "points", 2, 1_000_000), Unit("COIN", "points", 0))
    assert (chain.code, chain.units) == ("example", units)
    assert chain.partners == (
        Partner("bistro-llc", "Bistro LLC"),
        Partner("coffee-ip", "Coffee, sole proprietor"),
    )
    assert chain.stores[2] == Store("coffee", "Coffee at the station", "coffee-ip", "Asia/Yekaterinburg")
    assert chain.products[0] == Product("guest", "Guest card", "personal", "2900", 16, True, None, False, "bonus")
    gift = chain.products[1]
    assert (gift.value, gift.value_unit, gift.amounts, gift.pin) == (True, "RUB", (100_000, 300_000, 500_000), False)
    assert settings.programmes["bonus"] == simple(
        "bonus", "BONUS", 500, 3000, 1, 365, "guest", "guest", ("tobacco", "alcohol"), 100, "debt", 7
    )
    link = settings.links["bistro"]
    assert (link.adapter, link.store, link.enabled) == ("rkeeper", "bistro", True)
    assert link.secrets == (LinkSecret(hashlib.sha256(SECRET.encode()).digest()),)
    assert link.addresses == (ip_network("10.20.0.0/24"),)
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("told", "deaf"),
    [
        ("credentials: {addresses: [10.20.3.0/24]}", ["shop"]),
        ("credentials: {addresses: [10.20.3.0/24], secret: {env: TILLGATE_LINK_BISTRO}}", []),
        ("credentials: {addresses: [10.20.3.0/24]}\nenabled: false", []),
        ("far_side: {address: file:///srv/exchange/shop}", []),
    ],
)
def test_link_that_lets_addresses_in_and_believes_nobody_is_told(directory: Path, told: str, deaf: list[str]) -> None:
    (directory / "links" / "shop.yaml").write_text(f"link: shop\nadapter: frontol\nstore: bistro\n{told}\n")
    assert load(directory, ENVIRON).deaf == deaf


@pytest.mark.parametrize(
    ("text", "hundredths"), [("5", 500), ("5.5", 550), ('"2.25"', 225), ("0", 0), ("0.29", 29), ("100", 10_000)]
)
def test_percent_is_exact_however_it_is_written(directory: Path, change: Change, text: str, hundredths: int) -> None:
    change("programmes/bonus.yaml", "cashback_percent: 5 ", f"cashback_percent: {text} ")
    rules = good(directory).programmes["bonus"].points.rules
    assert [rule.give for rule in rules] == ([Percent(hundredths=hundredths)] if hundredths else [])


def test_amounts_of_a_product_have_the_scale_of_its_unit(directory: Path, change: Change) -> None:
    change("chain.yaml", 'amounts: ["1000", "3000", "5000"]', 'least_amount: "99.90"')
    gift = good(directory).chain.products[1]
    assert (gift.amounts, gift.least_amount, gift.value_unit) == ((), 9_990, "RUB")
    change("chain.yaml", 'least_amount: "99.90"', 'least_amount: "99.901"')
    assert problems(directory) == ["chain.yaml: products.1.least_amount: expected at most 2 digits after the point"]
    change("chain.yaml", 'least_amount: "99.901"', 'least_amount: "99"')
    change("chain.yaml", "value_unit: RUB ", "value_unit: BONUS ")
    assert problems(directory) == ["chain.yaml: products.1.value_unit: found 'BONUS', expected a unit of money"]


def test_only_cards_of_value_are_sold_for_an_amount(directory: Path, change: Change) -> None:
    change("chain.yaml", "    value: true\n", "    value: false\n")
    (problem,) = problems(directory)
    assert problem == "chain.yaml: products.1.value_unit: expected value: true, for cards that carry money"


def test_each_till_family_has_its_way_on_the_fiscal_receipt(directory: Path, change: Change) -> None:
    told = good(directory)
    assert told.fiscal == Fiscal("line_discount", "advance")
    assert told.links["bistro"].fiscal == {"RUB": "advance", "BONUS": "line_discount", "COIN": "line_discount"}
    change("chain.yaml", "  rkeeper: {points: line_discount,", "  rkeeper: {points: tender,")
    told = good(directory)
    assert told.fiscal.points == "line_discount"
    assert told.links["bistro"].fiscal == {"RUB": "advance", "BONUS": "tender", "COIN": "tender"}


def test_what_a_till_family_cannot_print_is_refused(directory: Path, change: Change) -> None:
    change(
        "chain.yaml", "  rkeeper: {points: line_discount,", "  rkeper: {points: tender}\n  rkeeper: {points: tender,"
    )
    only_discounts = replace(FAKE, fiscal=FiscalWays(points=("line_discount",)))
    with pytest.raises(ConfigError) as caught:
        load(directory, ENVIRON, {"rkeeper": only_discounts})
    assert [re.sub(r"yaml:\d+:", "yaml:", line) for line in str(caught.value).splitlines()] == [
        "chain.yaml: fiscal.rkeper: found 'rkeper', expected a till family (rest, rkeeper); did you mean 'rkeeper'?",
        "chain.yaml: fiscal.rkeeper.points: found 'tender', expected line_discount: all that its tills can print",
    ]


def test_problem_names_the_line_of_what_is_wrong(directory: Path, change: Change) -> None:
    change("programmes/bonus.yaml", 'minimum_price: "1.00"', "minimum_price: 1.505")
    lines = (directory / "programmes/bonus.yaml").read_text().splitlines()
    number = next(n for n, line in enumerate(lines, 1) if line.startswith("minimum_price"))
    with pytest.raises(ConfigError, match=rf"bonus\.yaml:{number}: minimum_price: expected"):
        good(directory)


def test_price_has_the_scale_of_the_chains_money(directory: Path, change: Change) -> None:
    change("programmes/bonus.yaml", 'minimum_price: "1.00"', "minimum_price: 1.5")
    assert good(directory).programmes["bonus"].points.rules[0].price_from_minor == 150
    change("programmes/bonus.yaml", "minimum_price: 1.5", "minimum_price: 1.505")
    assert problems(directory) == ["programmes/bonus.yaml: minimum_price: expected at most 2 digits after the point"]


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        (
            "chain.yaml",
            "name: Bistro on Lenin street, partner",
            "name: Bistro, partnr",
            "chain.yaml: stores.0.partnr: unknown key, expected one of code, name, partner, zone; "
            "did you mean 'partner'?",
        ),
        ("chain.yaml", "  code: example\n", "", "chain.yaml: chain.code: missing, expected a code: up to 64"),
        ("chain.yaml", "scale: 2}", "scale: 2.5}", "chain.yaml: units.RUB.scale: found '2.5', expected a whole"),
        (
            "chain.yaml",
            "Asia/Yekaterinburg",
            "Asia/Ekaterinburg",
            "chain.yaml: stores.2.zone: found 'Asia/Ekaterinburg', expected an IANA time zone such as "
            "Europe/Moscow; did you mean 'Asia/Yekaterinburg'?",
        ),
        (
            "chain.yaml",
            'prefix: "2900"',
            "prefix: 2900",
            "chain.yaml: products.0.prefix: found 2900, expected up to 12 digits in quotes; "
            'write a number in quotes: "2900"',
        ),
        ("chain.yaml", "kind: bearer", "kind: baerer", "found 'baerer', expected personal or bearer"),
        ("chain.yaml", "luhn: true", "luhn: yes", "products.0.luhn: found 'yes', expected true or false"),
        ("chain.yaml", "partner: coffee-ip", "partner: coffee", "stores.2.partner: found 'coffee', expected a"),
        ("chain.yaml", "programme: bonus", "programme: bonos", "did you mean 'bonus'?"),
        ("chain.yaml", "code: garden", "code: bistro", "stores.1.code: found 'bistro' again; stores.0.code has"),
        ("chain.yaml", "BONUS:", "bonus:", "chain.yaml: units.bonus: found 'bonus', expected a unit's code"),
        ("chain.yaml", "length: 16", "length: 4", "products.0.length: found 4, expected a whole number from 6 to 19"),
        ("programmes/bonus.yaml", "unit: BONUS", "unit: BONUSES", "unit: found 'BONUSES', expected a unit of chain"),
        ("programmes/bonus.yaml", "cashback_percent: 5", "cashback_percent: 5.555", "cashback_percent: found '5.5"),
        ("programmes/bonus.yaml", "payable_percent: 30", "payable_percent: 101", "payable_percent: found 101, exp"),
        ("programmes/bonus.yaml", "payable_percent: 30", "payable_percent: 1e1", "payable_percent: found '1e1'"),
        ("programmes/bonus.yaml", "programme: bonus", "programme: other", "found 'other', expected 'bonus' as the"),
        ("links/bistro.yaml", "store: bistro", "store: bistr", "links/bistro.yaml: store: found 'bistr', expected"),
        ("links/bistro.yaml", "adapter: rkeeper", "adapter: rkeper", "adapter: found 'rkeper', expected an adapter"),
        ("links/bistro.yaml", "link: bistro", "link: b", "link: found 'b', expected 'bistro' as the file is named"),
        ("links/bistro.yaml", "10.20.0.0/24", "10.20.0.1/24", "credentials.addresses.0: found '10.20.0.1/24'"),
        ("links/bistro.yaml", "unit: BONUS", "unit: MILES", "options.purses.10.unit: found 'MILES', expected a unit"),
        ("links/bistro.yaml", "number: 1", "number: 9", "links/bistro.yaml: options.purses.10.number: found 9, exp"),
        ("links/bistro.yaml", "number: 1, ", "", "options.purses.10.number: missing, expected a whole number"),
        ("links/bistro.yaml", "default_purse", "default_prse", "options.default_prse: unknown key, expected one of"),
        ("gateway.yaml", "answer_seconds: 8", "answer_seconds: true", "answer_seconds: found True, expected a whole"),
        ("gateway.yaml", "keep_days: 30", "keep_days: 0", "exchange_log.keep_days: found 0, expected a whole number"),
        ("gateway.yaml", "queue_limit: 2000", "answer_seconds: 2", "column 1: key 'answer_seconds' stands here twice"),
        ("gateway.yaml", "server:", "server: [", "gateway.yaml: line"),
    ],
)  # fmt: skip
def test_mistake_is_told_with_place_and_expectation(
    directory: Path, change: Change, name: str, old: str, new: str, problem: str
) -> None:
    change(name, old, new)
    told = problems(directory)
    assert [line for line in told if line.startswith(name) and problem in line], told


def test_all_problems_of_all_files_are_told_at_once(directory: Path, change: Change) -> None:
    change("gateway.yaml", "queue_limit: 2000", "queue_limit: 0")
    change("chain.yaml", "Asia/Yekaterinburg", "Asia/Nowhere")
    change("programmes/bonus.yaml", "pending_days: 1", "pending_days: one")
    change("links/bistro.yaml", "number: 1", "number: 9")
    change("links/bistro.yaml", "10.20.0.0/24", "x")
    (directory / "links/garden.yml").write_text("")
    assert [line.split(": found")[0] for line in problems(directory, {})] == [
        "links/garden.yml: not read; its name must end in .yaml",
        "gateway.yaml: queue_limit",
        "chain.yaml: stores.2.zone",
        "programmes/bonus.yaml: pending_days",
        "links/bistro.yaml: credentials.addresses.0",
        "links/bistro.yaml: options.purses.10.number",
    ]


def test_misnamed_file_is_not_left_out_silently(directory: Path) -> None:
    (directory / "gatway.yaml").write_text("")
    assert problems(directory) == [
        "gatway.yaml: not a file of the configuration; expected gateway.yaml and chain.yaml; "
        "did you mean 'gateway.yaml'?"
    ]


def test_gateway_file_may_be_left_out(directory: Path) -> None:
    (directory / "gateway.yaml").unlink()
    assert good(directory).gateway == GatewaySettings()


def test_chain_file_is_needed(directory: Path) -> None:
    (directory / "chain.yaml").unlink()
    assert problems(directory) == ["chain.yaml: cannot be read: No such file or directory"]
    assert "not a directory" in problems(directory / "nowhere")[0]


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!!float", "!!binary", "!!timestamp", "!!set"])
def test_yaml_makes_nothing_but_text_whole_numbers_and_switches(directory: Path, tag: str) -> None:
    (directory / "gateway.yaml").write_text(f"server: {tag} '1'\n")
    assert "could not determine a constructor" in problems(directory)[0]


# Credentials ------------------------------------------------------------------------------------------------


def test_missing_environment_variable_is_named(directory: Path) -> None:
    assert problems(directory, {}) == [
        "links/bistro.yaml: credentials.secret: environment variable TILLGATE_LINK_BISTRO is not set"
    ]


def test_paused_link_may_lack_its_secret(directory: Path, change: Change) -> None:
    change("links/bistro.yaml", "enabled: true", "enabled: false")
    link = good(directory, {}).links["bistro"]
    assert (link.enabled, link.secrets) == (False, ())


def test_secret_may_be_spelt_as_a_shell_does(directory: Path, change: Change) -> None:
    change("links/bistro.yaml", "{env: TILLGATE_LINK_BISTRO}", "${TILLGATE_LINK_BISTRO}")
    assert good(directory).links["bistro"].secrets


def test_literal_secret_is_refused_and_not_repeated(directory: Path, change: Change) -> None:
    change("links/bistro.yaml", "{env: TILLGATE_LINK_BISTRO}", SECRET)
    assert problems(directory) == [
        "links/bistro.yaml: credentials.secret: found a literal, expected {env: NAME}: "
        "secrets come from the environment and never stand in this file"
    ]


@pytest.mark.parametrize("secret", ["short", "fifteen-letters", "a/slash/breaks/the/path", "with some spaces in it"])
def test_unfit_secret_is_refused_and_not_repeated(directory: Path, secret: str) -> None:
    (problem,) = problems(directory, {"TILLGATE_LINK_BISTRO": secret})
    assert problem.startswith("links/bistro.yaml: credentials.secret: environment variable TILLGATE_LINK_BISTRO: ")
    assert secret not in problem


def test_link_without_secret_and_addresses_is_refused(directory: Path, change: Change) -> None:
    change("links/bistro.yaml", "  secret: {env: TILLGATE_LINK_BISTRO}\n", "")
    assert good(directory, {}).links["bistro"].secrets == ()
    change("links/bistro.yaml", "10.20.0.0/24", "0.0.0.0/0")
    assert "lets everybody in" in problems(directory)[0]
    change("links/bistro.yaml", "credentials:\n  addresses:\n    - 0.0.0.0/0\n", "credentials: {}\n")
    assert problems(directory) == ["links/bistro.yaml: credentials: expected a secret, addresses, or both"]


# Card numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "length", "problem"),
    [
        ("2901", 10, "which leaves 100000 numbers; expected at least 1000000 for bearer cards of value"),
        ("290123456789", 13, "expected room for random digits behind the prefix"),
        ("9901", 19, "expected numbers below 2**63"),
    ],
)
def test_guessable_and_impossible_numbers_are_refused(
    directory: Path, change: Change, prefix: str, length: int, problem: str
) -> None:
    change("chain.yaml", 'prefix: "2901"\n    length: 16', f'prefix: "{prefix}"\n    length: {length}')
    (told,) = problems(directory)
    assert told.startswith(f"chain.yaml: products.1.length: found {length} digits with prefix '{prefix}', ")
    assert problem in told


def test_personal_cards_and_cards_without_value_may_be_dense(directory: Path, change: Change) -> None:
    change("chain.yaml", "length: 16\n    luhn", "length: 8\n    luhn")
    assert good(directory).chain.products[0].length == 8


# Codes and REST ---------------------------------------------------------------------------------------------------

CODES = """
api:
  requests_per_minute: 120
codes:
  sender: http
  text: "Код {code}"
  url: https://sms.example.org/send
  headers: {Authorization: "Bearer {secret}"}
  json: {messages: [{to: "{phone}", text: "{text}"}]}
  secret: {env: TILLGATE_SMS}
"""


def test_an_sms_gateway_is_described_and_its_secret_comes_from_the_environment(directory: Path) -> None:
    (directory / "gateway.yaml").write_text(CODES)
    settings = good(directory, {**ENVIRON, "TILLGATE_SMS": " hush-hush-hush \n"}).gateway
    assert settings.api.requests_per_minute == 120
    codes = settings.codes
    assert (codes.sender, codes.secret, codes.text) == ("http", "hush-hush-hush", "Код {code}")
    assert codes.json == {"messages": [{"to": "{phone}", "text": "{text}"}]}
    assert "hush" not in repr(settings)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("{env: TILLGATE_SMS}", "hush-hush", "gateway.yaml: codes.secret: found a literal, expected {env: NAME}"),
        ("Bearer {secret}", "Bearer {sekret}", "gateway.yaml: codes.headers: found {sekret}, expected one of {phone}"),
        ('to: "{phone}"', 'to: "{fone}"', "gateway.yaml: codes.json: found {fone}, expected one of {phone}"),
        ("Код {code}", "Код", "gateway.yaml: codes.text: found 'Код', expected a text with {code} in it"),
        ("https://sms", "sms", "gateway.yaml: codes.url: found 'sms.example.org/send', expected the SMS gateway's"),
        ("  url: https://sms.example.org/send\n", "", "gateway.yaml: codes.url: missing, expected the SMS gateway's"),
        ("sender: http", "sender: pigeon", "gateway.yaml: codes.sender: found 'pigeon', expected none or console or"),
        ("120", "0", "gateway.yaml: api.requests_per_minute: found 0, expected a whole number from 1 to"),
    ],
)
def test_a_mistake_in_codes_is_told(directory: Path, old: str, new: str, expected: str) -> None:
    assert old in CODES
    (directory / "gateway.yaml").write_text(CODES.replace(old, new))
    (told,) = problems(directory, {**ENVIRON, "TILLGATE_SMS": "hush-hush-hush"})
    assert told.startswith(expected)


def test_a_missing_variable_of_the_sms_gateway_is_told(directory: Path) -> None:
    (directory / "gateway.yaml").write_text(CODES)
    assert problems(directory) == ["gateway.yaml: codes.secret: environment variable TILLGATE_SMS is not set"]


def test_till_that_counts_points_as_money_has_points_of_that_worth(directory: Path, change: Change) -> None:
    (directory / "programmes" / "dear.yaml").write_text("programme: dear\nunit: BONUS\npoint_price: 2\n")
    counting = replace(FAKE, unit_scale=2)
    with pytest.raises(ConfigError, match="not so in programme dear"):
        load(directory, ENVIRON, {"rkeeper": counting})


# Options in files of their own --------------------------------------------------------------------------------------


OFFICE = """
link: office
adapter: onec_server
store: bistro
far_side: {address: https://1c.example/retail, secrets: {password: {env: TILLGATE_1C}}}
options: {mapping: MAPPING, user: Обмен, product: guest}
"""


def with_office(directory: Path, mapping: str) -> list[str]:
    """What is wrong with a configuration whose link names this mapping."""
    (directory / "links" / "office.yaml").write_text(OFFICE.replace("MAPPING", mapping), "utf-8")
    try:
        load(directory, ENVIRON | {"TILLGATE_1C": SECRET})
    except ConfigError as error:
        return str(error).splitlines()
    return []


def test_an_option_may_stand_in_a_file_of_its_own(directory: Path) -> None:
    for path in sorted((CONFIGS / "mappings").glob("*.yaml")):
        assert with_office(directory, path.stem) == []
        settings = load(directory, ENVIRON | {"TILLGATE_1C": SECRET})
        assert settings.links["office"].options["mapping"]["mapping"] == path.stem
    (told,) = with_office(directory, "retail33")
    assert told.startswith("links/office.yaml:") and "did you mean 'retail3'?" in told
    ut11 = directory / "mappings" / "ut11.yaml"
    ut11.write_text(ut11.read_text("utf-8").replace("  numbers:", "  number:").replace("mapping: ut11", "mapping: ut"))
    told = "\n".join(with_office(directory, "ut11"))
    assert "mappings/ut11.yaml:8: cards.number: unknown key" in told and "did you mean 'numbers'?" in told
    assert "links/" not in told


CLOUD = """
link: iiko
adapter: iiko_cloud
store: bistro
far_side: {address: "https://api.example", secrets: {api_login: {env: TILLGATE_1C}}}
options:
  organization: 3f0f5a52-7c1e-4c0b-9b58-0f6a1d2e3b44
  products: [bonus]
  wallets: [{unit: BONUS, id: 0f3c6c2e-7a54-4f8b-9a3b-0d5b2f7a1c01}]
  orders_of: OTHER
"""
HOOKS = """
link: orders
adapter: iiko_webhooks
store: STORE
credentials: {secret: {env: TILLGATE_1C}}
options: {book: all}
"""


def with_cloud(directory: Path, other: str, store: str = "bistro") -> list[str]:
    """The problems of a link that names another, of iiko's webhooks."""
    (directory / "links" / "iiko.yaml").write_text(CLOUD.replace("OTHER", other), "utf-8")
    (directory / "links" / "orders.yaml").write_text(HOOKS.replace("STORE", store), "utf-8")
    try:
        load(directory, ENVIRON | {"TILLGATE_1C": SECRET})
    except ConfigError as error:
        return str(error).splitlines()
    return []


def test_an_option_may_name_another_link_whose_options_it_shares(directory: Path) -> None:
    assert with_cloud(directory, "orders") == []
    links = load(directory, ENVIRON | {"TILLGATE_1C": SECRET}).links
    assert links["iiko"].options["orders_of"] == links["orders"].options
    assert links["iiko"].options["orders_of"]["book"] == "all"
    (told,) = with_cloud(directory, "order")
    assert told.startswith("links/iiko.yaml:") and "did you mean 'orders'?" in told
    (told,) = with_cloud(directory, "bistro")
    assert "expected a link of iiko_webhooks and of this store (orders)" in told
    (told,) = with_cloud(directory, "orders", "garden")
    assert "and of this store (none is configured)" in told
