"""What the files of a configuration may say: a schema for each, whose messages tell what was expected."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from adapters.contract import ADVANCE, LINE_DISCOUNT, TENDER, Adapter
from gateway.alerts import WHAT
from gateway.delivery_policy import RELAXED, STRICT
from gateway.problems import EXPECTED, did_you_mean
from processing.events import KINDS
from processing.reconciliation import MARGIN, MAX_DAYS
from processing.units import HUNDREDTHS_OF_PERCENT, MAX_AMOUNT, MONEY, POINTS, scaled

MAX_SCALE = 6

_ZONE = "an IANA time zone such as Europe/Moscow"
# marshmallow formats its messages, hence the doubled braces.
_FROM_ENVIRONMENT = "{{env: NAME}}: secrets come from the environment and never stand in this file"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

Network = IPv4Network | IPv6Network

# Fields -----------------------------------------------------------------------------------------------------


class Checked(fields.Field[Any]):
    """What ``check`` makes of the raw value; instead of its ValueError is told what was expected.

    ``json`` says the same in a JSON Schema.
    """

    def __init__(
        self, check: Callable[[Any], Any], expected: str, json: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        super().__init__(error_messages=_saying(expected), **options)
        self._check = check
        self.json = json or {}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        try:
            return self._check(value)
        except ValueError:
            raise self.make_error("invalid") from None


def _saying(expected: str) -> dict[str, Any]:
    return dict.fromkeys(("required", "null", "invalid"), EXPECTED + expected)


class Text(fields.String):
    """Text; ``json`` tells its shape in a JSON Schema, whose patterns are not Python's."""

    def __init__(self, json: Mapping[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self.json = json


ANY_TEXT = "(?s:.{1,255})"


def a_text(
    expected: str = "text", pattern: str = ANY_TEXT, json: Mapping[str, Any] | None = None, **options: Any
) -> Text:
    """Text of a shape; a number has to be quoted, so that 007 stays what was written."""
    shape = validate.Regexp(rf"(?:{pattern})\Z", error=EXPECTED + expected)
    if json is None:
        json = {"minLength": 1, "maxLength": 255} if pattern == ANY_TEXT else {}
    return Text(json, validate=shape, error_messages=_saying(expected), **options)


def a_code(**options: Any) -> Text:
    words = "a code: up to 64 of a-z, 0-9, - and _, beginning with a letter or digit"
    shape = r"[a-z0-9][a-z0-9_-]{0,63}"
    return a_text(words, shape, json={"pattern": f"^{shape}$"}, **options)


def a_choice(*choices: str, **options: Any) -> Text:
    return a_text(" or ".join(choices), "|".join(map(re.escape, choices)), json={"enum": list(choices)}, **options)


def a_whole(least: int, most: int, **options: Any) -> fields.Integer:
    """A whole number within bounds; neither true nor "5"."""
    words = f"a whole number from {least} to {most}"
    bounds = validate.Range(least, most, error=EXPECTED + words)
    return fields.Integer(strict=True, validate=bounds, error_messages=_saying(words), **options)


def a_switch(**options: Any) -> Checked:
    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError
        return value

    return Checked(check, "true or false", json={"type": "boolean"}, **options)


def a_decimal(expected: str, scale: int, most: int, **options: Any) -> Checked:
    """``5``, ``5.5`` or ``"5.5"`` as a whole number of ``10**-scale``, from 0 to ``most``."""

    def check(value: Any) -> int:
        number = scaled(str(value), scale) if type(value) in (int, str) else -1
        if not 0 <= number <= most:
            raise ValueError
        return number

    return Checked(check, expected, **options)


PERCENT = {"type": ["number", "string"], "minimum": 0, "maximum": 100, "pattern": r"^[0-9]+(\.[0-9]*)?$"}


def a_percent(**options: Any) -> Checked:
    """In hundredths of a percent."""
    words = "a percent from 0 to 100 with at most two digits after the point, such as 5.5"
    return a_decimal(words, 2, HUNDREDTHS_OF_PERCENT, json=PERCENT, **options)


def an_amount(**options: Any) -> Checked:
    """At MAX_SCALE; what it is in minor units depends on its unit."""
    return a_decimal('an amount in major units, such as "199.90"', MAX_SCALE, MAX_AMOUNT, **options)


def _zone(value: Any) -> str:
    try:
        return zoneinfo.ZoneInfo(value).key
    except (zoneinfo.ZoneInfoNotFoundError, AttributeError, ValueError, TypeError, OSError):
        raise ValidationError(EXPECTED + _ZONE + did_you_mean(value, zoneinfo.available_timezones())) from None


def _network(value: Any) -> Network:
    return ip_network(value if isinstance(value, str) else "")


def _variable(value: Any) -> str:
    """The environment variable that holds a secret, ``{env: NAME}`` or ``${NAME}``."""
    if isinstance(value, Mapping) and list(value) == ["env"]:
        value = f"${{{value['env']}}}"
    if not isinstance(value, str) or not (match := _VARIABLE.fullmatch(value)):
        raise ValueError
    return match[1]


def a_secret(**options: Any) -> Checked:
    """The name of the environment variable that holds it."""
    return Checked(_variable, _FROM_ENVIRONMENT, metadata={"secret": True}, **options)


# Files ------------------------------------------------------------------------------------------------------


class Section(Schema):
    class Meta:
        unknown = RAISE


def _some(section: type[Schema]) -> fields.List[Any]:
    return fields.List(fields.Nested(section), required=True, validate=validate.Length(min=1))


class _ExchangeLog(Section):
    keep_days = a_whole(1, 3650)
    keep_megabytes = a_whole(1, 10_000_000)
    buffer_messages = a_whole(1, 1_000_000)
    buffer_megabytes = a_whole(1, 4096)


class _Server(Section):
    threads = a_whole(1, 1024)


class _Worker(Section):
    enabled = a_switch()
    interval_seconds = a_whole(1, 3600)


class _Uploads(Section):
    folder = a_text()
    megabytes = a_whole(16, 1_000_000)


class _Retention(Section):
    confirmation_code_days = a_whole(1, 3650)
    # A hold may be reserved for 30 days, and its till asks for it until then.
    hold_days = a_whole(31, 3650)
    outbox_days = a_whole(1, 3650)
    # What the longest report reads, up to now.
    learned_receipt_days = a_whole(MAX_DAYS + MARGIN.days, 3650)


class _Api(Section):
    requests_per_minute = a_whole(1, 1_000_000)


class _Codes(Section):
    sender = a_choice("none", "console", "http")
    text = a_text("a text with {{code}} in it", r"(?s:.{0,400}\{code\}.{0,400})")
    url = a_text("the SMS gateway's address, https://...", r"https?://[^\s/@]+(?:/\S*)?")
    method = a_choice("POST", "GET", "PUT")
    headers = fields.Dict(keys=a_text(), values=a_text())
    params = fields.Dict(keys=a_text(), values=a_text())
    form = fields.Dict(keys=a_text(), values=a_text())
    json = fields.Dict(keys=a_text())
    secret = a_secret()
    expect = a_text()
    timeout_seconds = a_whole(1, 30)


class _Attempts(Section):
    link_down = a_whole(0, 100_000)
    link_refused = a_whole(0, 100_000)
    bad_reply = a_whole(0, 100_000)
    failed = a_whole(0, 100_000)


class _Delivery(Section):
    """Of a link, and of gateway.yaml for all of them; its defaults are those of DeliverySettings."""

    order = a_choice(STRICT, RELAXED)
    first_seconds = a_whole(1, 3600)
    most_seconds = a_whole(1, 86_400)
    multiplier = a_whole(1, 10)
    jitter_seconds = a_whole(0, 3600)
    attempts = fields.Nested(_Attempts)
    give_up_hours = a_whole(0, 24 * 366)
    breaker_failures = a_whole(1, 1000)
    per_minute = a_whole(0, 1_000_000)
    call_seconds = a_whole(1, 120)
    pull_minutes = a_whole(1, 1440)
    folder_seconds = a_whole(1, 86_400)


class _AlertRule(Section):
    when = a_choice(*WHAT, required=True)
    above = a_whole(0, 1_000_000_000, required=True)
    links = fields.List(a_text())


class _Mail(Section):
    host = a_text(required=True)
    port = a_whole(1, 65_535)
    user = a_text()
    secret = a_secret()
    sender = a_text("an e-mail address", r"[^\s@]+@[^\s@]+", required=True)
    to = fields.List(a_text("an e-mail address", r"[^\s@]+@[^\s@]+"), required=True, validate=validate.Length(min=1))


class _Alerts(Section):
    rules = fields.List(fields.Nested(_AlertRule))
    mail = fields.Nested(_Mail)


class GatewaySchema(Section):
    """gateway.yaml; its defaults are those of GatewaySettings."""

    exchange_log = fields.Nested(_ExchangeLog)
    server = fields.Nested(_Server)
    worker = fields.Nested(_Worker)
    uploads = fields.Nested(_Uploads)
    retention = fields.Nested(_Retention)
    api = fields.Nested(_Api)
    codes = fields.Nested(_Codes)
    delivery = fields.Nested(_Delivery)
    alerts = fields.Nested(_Alerts)
    answer_seconds = a_whole(1, 120)
    queue_limit = a_whole(1, 1_000_000)


class _Named(Section):
    code = a_code(required=True)
    name = a_text(required=True)


class _Unit(Section):
    kind = a_choice(MONEY, POINTS, required=True)
    scale = a_whole(0, MAX_SCALE, required=True)
    adjust_limit = an_amount(allow_none=True, load_default=None)


class _Store(_Named):
    partner = a_text(required=True)
    zone = Checked(_zone, _ZONE, required=True)


class _Product(_Named):
    kind = a_choice("personal", "bearer", required=True)
    prefix = a_text("up to 12 digits in quotes", r"[0-9]{1,12}", required=True)
    length = a_whole(6, 19, required=True)
    luhn = a_switch(load_default=True)
    valid_days = a_whole(1, 36_500, allow_none=True, load_default=None)
    value = a_switch(load_default=False)
    value_unit = a_text(load_default="")
    amounts = fields.List(an_amount(), load_default=list)
    least_amount = an_amount(allow_none=True, load_default=None)
    most_amount = an_amount(allow_none=True, load_default=None)
    pin = a_switch(load_default=False)
    programme = a_text(required=True)


class _Fiscal(Section):
    points = a_choice(LINE_DISCOUNT, TENDER)
    gift_cards = a_choice(ADVANCE, TENDER)


class ChainSchema(Section):
    """chain.yaml."""

    chain = fields.Nested(_Named, required=True)
    units = fields.Dict(
        keys=a_text("a unit's code such as RUB or BONUS", r"[A-Z][A-Z0-9_]{0,15}"),
        values=fields.Nested(_Unit),
        required=True,
        validate=validate.Length(min=1),
    )
    partners = _some(_Named)
    stores = _some(_Store)
    products = fields.List(fields.Nested(_Product), load_default=list)
    fiscal = fields.Dict(keys=a_text("a till family"), values=fields.Nested(_Fiscal), load_default=dict)


class _Credentials(Section):
    secret = a_secret()
    next_secret = a_secret()
    user = a_text(load_default="")
    addresses = fields.List(
        Checked(_network, "an address or a network without host bits, such as 10.1.2.0/24"),
        load_default=list,
        validate=validate.Length(min=1),
    )


class _Messages(Section):
    kinds = fields.List(a_choice(*KINDS), required=True, validate=validate.Length(min=1))
    stores = fields.List(a_text())
    below = fields.Dict(keys=a_text(), values=an_amount(), load_default=dict)


class LinkSchema(Section):
    """links/<code>.yaml."""

    link = a_code(required=True)
    adapter = a_text(required=True)
    store = a_text(required=True)
    enabled = a_switch(load_default=True)
    credentials = fields.Nested(_Credentials, load_default=lambda: {"addresses": [], "user": ""})
    options = fields.Dict(load_default=dict)
    far_side = fields.Nested(lambda: _far_side())
    messages = fields.Nested(_Messages)
    delivery = fields.Nested(_Delivery, load_default=dict)


def _far_side() -> Schema:
    from gateway.far_side import FarSideSchema  # which is made of the fields above

    return FarSideSchema()


def link_schema(raw: dict[str, Any], adapters: Mapping[str, Adapter]) -> Schema:
    """The schema with the adapter's own one for the options; those of an unknown adapter are not checked."""
    adapter = adapters.get(str(raw.get("adapter")))
    if adapter is None:
        return LinkSchema()
    if raw.get("options") is None:
        raw["options"] = {}
    return LinkSchema.from_dict({"options": fields.Nested(adapter.options)}, name="LinkWithOptions")()
