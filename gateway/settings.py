"""Configuration: a directory of YAML files and secrets from the environment, read once into frozen data.

A mistake stops the start. All mistakes are collected and told in one ConfigError, a line each: the file, the
path inside it, what was found and what was expected. Numbers with a point never become floats on the way.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import difflib
import hashlib
import os
import re
import zoneinfo
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import structlog
import yaml
from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate
from sqlalchemy.engine import make_url

from adapters.contract import Adapter
from processing.chain import Chain, Partner, Product, Programme, Store
from processing.errors import ConfigError
from processing.secrets import KEY_BYTES, MasterKeys, new_key
from processing.units import HUNDREDTHS_OF_PERCENT, MONEY, POINTS, Unit, scaled

log = structlog.get_logger()

MIN_SECRET_CHARACTERS = 16
# Cards of value: at most one in a million of the numbers that look right may exist, or they can be guessed.
NUMBERS_PER_CARD = 10**6
MAX_CARD_NUMBER = 2**63 - 1
MAX_SHOWN = 60
MAX_SCALE = 6

Network = IPv4Network | IPv6Network
Steps = tuple[str | int, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ExchangeLogLimits:
    """How long and how much the exchange log keeps, and how much may wait to be written."""

    keep_days: int = 30
    keep_megabytes: int = 2000
    buffer_messages: int = 5000
    buffer_megabytes: int = 32


@dataclass(frozen=True, slots=True)
class ServerSettings:
    threads: int = 32


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """``answer_seconds`` is what a till waits at most; ``queue_limit`` requests may wait for a batch."""

    exchange_log: ExchangeLogLimits = ExchangeLogLimits()
    server: ServerSettings = ServerSettings()
    answer_seconds: int = 8
    queue_limit: int = 2000


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """One configured connection. A caller proves all that is set: the secret, and one of the addresses."""

    code: str
    adapter: str
    store: str
    enabled: bool
    secret_sha256: bytes | None = field(repr=False)
    addresses: tuple[Network, ...]
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a configuration directory says; programmes and links under their codes."""

    gateway: GatewaySettings
    chain: Chain
    programmes: Mapping[str, Programme]
    links: Mapping[str, LinkSettings]


def load(directory: str | Path, environ: Mapping[str, str], adapters: Mapping[str, Adapter] | None = None) -> Settings:
    """The checked configuration. ``adapters`` are the registered ones unless a test brings its own.

    Errors: ConfigError with every problem of every file.
    """
    reading = _Reading(Path(directory), environ, _registered() if adapters is None else adapters)
    settings = reading.settings()
    if settings is None or reading.problems:
        raise ConfigError("\n".join(reading.problems))
    return settings


# YAML without floats, dates, octals and silent repeats ------------------------------------------------------


class _PlainLoader(yaml.SafeLoader):
    """Knows null, true, false and decimal integers; every other scalar stays the text that was written."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A key that stands twice is an error: the second would silently win."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int):
                raise yaml.MarkedYAMLError(None, None, "a key must be text or a number", key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(None, None, f"key {key!r} stands here twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_PlainLoader.yaml_implicit_resolvers = {}
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:~|null|)$"), ["~", "n", ""])
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)$"), ["t", "f"])
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"-?(?:0|[1-9][0-9]*)$"), list("-0123456789"))


def _read_yaml(path: Path) -> Any:
    """The document. Errors: ValueError that says where and what."""
    try:
        return yaml.load(path.read_text("utf-8-sig"), _PlainLoader)  # noqa: S506  # a SafeLoader
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text at byte {error.start}") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{where}{error.problem}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from None


# Fields: every message says what was expected ---------------------------------------------------------------


class _Field(fields.Field[T]):
    """A field that says in words what it takes."""

    expected: str = ""

    def wrong(self, hint: str = "") -> ValidationError:
        return ValidationError(self.expected + hint)


class _Text(_Field[str]):
    """Text of a shape; a number has to be quoted, so that 007 stays what was written."""

    def __init__(self, expected: str = "text", pattern: str = r"(?s).{1,255}", **options: Any) -> None:
        super().__init__(**options)
        self.expected = expected
        self._pattern = re.compile(pattern)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> str:
        if type(value) is int:
            raise self.wrong(f'; write a number in quotes: "{value}"')
        if not isinstance(value, str) or not self._pattern.fullmatch(value):
            raise self.wrong()
        return value


class _Code(_Text):
    def __init__(self, **options: Any) -> None:
        words = "a code: up to 64 of a-z, 0-9, - and _, beginning with a letter or digit"
        super().__init__(words, r"[a-z0-9][a-z0-9_-]{0,63}", **options)


class _UnitCode(_Text):
    def __init__(self, **options: Any) -> None:
        super().__init__("a unit's code such as RUB or BONUS", r"[A-Z][A-Z0-9_]{0,15}", **options)


class _Choice(_Text):
    def __init__(self, *choices: str, **options: Any) -> None:
        super().__init__(" or ".join(choices), "|".join(map(re.escape, choices)), **options)


class _Whole(_Field[int]):
    """A whole number within bounds; neither true nor "5"."""

    def __init__(self, least: int, most: int, **options: Any) -> None:
        super().__init__(**options)
        self.expected = f"a whole number from {least} to {most}"
        self._least, self._most = least, most

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> int:
        if type(value) is not int or not self._least <= value <= self._most:
            raise self.wrong()
        return value


class _Switch(_Field[bool]):
    expected = "true or false"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> bool:
        if not isinstance(value, bool):
            raise self.wrong()
        return value


class _Percent(_Field[int]):
    """``5``, ``5.5`` or ``"5.5"`` as hundredths of a percent."""

    expected = "a percent from 0 to 100 with at most two digits after the point, such as 5.5"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> int:
        hundredths = _decimal(value, 2)
        if hundredths is None or not 0 <= hundredths <= HUNDREDTHS_OF_PERCENT:
            raise self.wrong()
        return hundredths


class _Price(_Field[str]):
    """A price in major units, still as text: the scale is known only with the chain."""

    expected = 'a price in major units, such as "199.90"'

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> str:
        price = _decimal(value, MAX_SCALE)
        if price is None or price < 0:
            raise self.wrong()
        return str(value)


class _Zone(_Field[str]):
    expected = "an IANA time zone such as Europe/Moscow"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> str:
        try:
            zoneinfo.ZoneInfo(value)
        except (zoneinfo.ZoneInfoNotFoundError, AttributeError, ValueError, TypeError, OSError):
            raise self.wrong(_did_you_mean(value, zoneinfo.available_timezones())) from None
        return str(value)


class _Network(_Field[Network]):
    expected = "an address or a network without host bits, such as 10.1.2.0/24"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Network:
        try:
            return ip_network(value if isinstance(value, str) else "")
        except ValueError:
            raise self.wrong() from None


class _SecretName(_Field[str]):
    """The environment variable that holds a secret, ``{env: NAME}`` or ``${NAME}``; never the secret."""

    expected = "{env: NAME}: secrets come from the environment and never stand in this file"
    _spelling = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> str:
        if isinstance(value, Mapping) and list(value) == ["env"]:
            value = f"${{{value['env']}}}"
        match = self._spelling.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise self.wrong()
        return match[1]


def _decimal(value: Any, scale: int) -> int | None:
    if type(value) is not int and not isinstance(value, str):
        return None
    try:
        return scaled(str(value), scale)
    except ValueError:
        return None


# Schemas ----------------------------------------------------------------------------------------------------


class _Section(Schema):
    """A mapping of known keys that becomes what ``makes`` says."""

    class Meta:
        unknown = RAISE

    makes: ClassVar[Any] = dict

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Any:
        return self.makes(**data)


class _ExchangeLog(_Section):
    makes = ExchangeLogLimits
    keep_days = _Whole(1, 3650)
    keep_megabytes = _Whole(1, 10_000_000)
    buffer_messages = _Whole(1, 1_000_000)
    buffer_megabytes = _Whole(1, 4096)


class _Server(_Section):
    makes = ServerSettings
    threads = _Whole(1, 1024)


class _Gateway(_Section):
    makes = GatewaySettings
    exchange_log = fields.Nested(_ExchangeLog)
    server = fields.Nested(_Server)
    answer_seconds = _Whole(1, 120)
    queue_limit = _Whole(1, 1_000_000)


class _ChainName(_Section):
    code = _Code(required=True)
    name = _Text(required=True)


class _UnitShape(_Section):
    kind = _Choice(MONEY, POINTS, required=True)
    scale = _Whole(0, MAX_SCALE, required=True)


class _Partner(_Section):
    makes = Partner
    code = _Code(required=True)
    name = _Text(required=True)


class _Store(_Section):
    makes = Store
    code = _Code(required=True)
    name = _Text(required=True)
    partner = _Text(required=True)
    zone = _Zone(required=True)


class _Product(_Section):
    makes = Product
    code = _Code(required=True)
    name = _Text(required=True)
    kind = _Choice("personal", "bearer", required=True)
    prefix = _Text("up to 12 digits in quotes", r"[0-9]{1,12}", required=True)
    length = _Whole(6, 19, required=True)
    luhn = _Switch(load_default=True)
    valid_days = _Whole(1, 36_500, allow_none=True, load_default=None)
    value = _Switch(load_default=False)
    programme = _Text(required=True)


class _Chain(_Section):
    chain = fields.Nested(_ChainName, required=True)
    units = fields.Dict(
        keys=_UnitCode(), values=fields.Nested(_UnitShape), required=True, validate=validate.Length(min=1)
    )
    partners = fields.List(fields.Nested(_Partner), required=True, validate=validate.Length(min=1))
    stores = fields.List(fields.Nested(_Store), required=True, validate=validate.Length(min=1))
    products = fields.List(fields.Nested(_Product), load_default=[])


class _Programme(_Section):
    programme = _Code(required=True)
    unit = _Text(required=True)
    cashback_percent = _Percent(load_default=0)
    payable_percent = _Percent(load_default=0)
    pending_days = _Whole(0, 3650, load_default=0)
    expires_days = _Whole(1, 36_500, allow_none=True, load_default=None)
    discount = _Text(load_default="")
    bonus = _Text(load_default="")
    excluded_categories = fields.List(_Text(), load_default=[])
    minimum_price = _Price(load_default="0")


class _Credentials(_Section):
    secret = _SecretName()
    addresses = fields.List(_Network(), validate=validate.Length(min=1))


class _Link(_Section):
    link = _Code(required=True)
    adapter = _Text(required=True)
    store = _Text(required=True)
    enabled = _Switch(load_default=True)
    credentials = fields.Nested(_Credentials, required=True)
    options = fields.Dict(load_default=dict)


def _link_schema(raw: Any, adapters: Mapping[str, Adapter]) -> Schema:
    """A link's schema with its adapter's own schema for the options; an unknown adapter's are not checked."""
    adapter = adapters.get(str(raw.get("adapter"))) if isinstance(raw, dict) else None
    if adapter is None:
        return _Link()
    if raw.get("options") is None:
        raw["options"] = {}
    return _Link.from_dict({"options": fields.Nested(adapter.options)}, name="_LinkWithOptions")()


# Reading and cross-checking ---------------------------------------------------------------------------------


class _Document(NamedTuple):
    """A file that its schema has accepted; ``name`` is its path below the configuration directory."""

    name: str
    stem: str
    raw: dict[str, Any]
    value: Any


class _Reading:
    """One walk over a configuration directory; ``problems`` grows, one line for each."""

    def __init__(self, root: Path, environ: Mapping[str, str], adapters: Mapping[str, Adapter]) -> None:
        self.problems: list[str] = []
        self._root = root
        self._environ = environ
        self._adapters = adapters

    def settings(self) -> Settings | None:
        """Everything read and checked; ``None`` without a usable chain.yaml, to which the rest refers."""
        if not self._root.is_dir():
            self.problems.append(f"{self._root}: not a directory; expected one with chain.yaml in it")
            return None
        self._strangers()
        written = (self._root / "gateway.yaml").exists()
        gateway = self._document("gateway.yaml", lambda _: _Gateway()) if written else None
        chain_document = self._document("chain.yaml", lambda _: _Chain())
        chain = self._chain(chain_document) if chain_document else None
        programmes = [self._programme(found, chain) for found in self._folder("programmes", lambda _: _Programme())]
        links = [self._link(found, chain) for found in self._folder("links", self._link_schema)]
        if chain is None:
            return None
        return Settings(
            gateway.value if gateway else GatewaySettings(),
            chain,
            {programme.code: programme for programme in programmes},
            {link.code: link for link in links},
        )

    def _say(self, name: str, path: Sequence[str | int], text: str) -> None:
        where = f"{name}: {_dotted(path)}" if path else name
        self.problems.append(f"{where}: {text}")

    def _strangers(self) -> None:
        """Files that would silently be left out: misspelt names and the ending .yml."""
        known = ("gateway.yaml", "chain.yaml")
        for path in sorted(self._root.glob("*.yaml")):
            if path.name not in known:
                guess = _did_you_mean(path.name, known)
                self._say(path.name, (), f"not a file of the configuration; expected {' and '.join(known)}{guess}")
        for path in sorted([*self._root.glob("*.yml"), *self._root.glob("*/*.yml")]):
            self._say(path.relative_to(self._root).as_posix(), (), "not read; its name must end in .yaml")

    def _document(self, name: str, schema: Callable[[Any], Schema]) -> _Document | None:
        """The file, or ``None`` with its problems noted. ``schema`` may depend on what the file says."""
        try:
            raw = _read_yaml(self._root / name)
        except ValueError as error:
            self._say(name, (), str(error))
            return None
        if not isinstance(raw, dict):
            self._say(name, (), f"found {_shown(raw)}, expected a mapping")
            return None
        checked = schema(raw)
        try:
            return _Document(name, Path(name).stem, raw, checked.load(raw))
        except ValidationError as error:
            for path, text in _explain(checked, raw, error.messages):
                self._say(name, path, text)
            return None

    def _folder(self, folder: str, schema: Callable[[Any], Schema]) -> list[_Document]:
        found = [self._document(f"{folder}/{stem}.yaml", schema) for stem in self._stems(folder)]
        return [document for document in found if document is not None]

    def _stems(self, folder: str) -> list[str]:
        return sorted(path.stem for path in (self._root / folder).glob("*.yaml"))

    def _known(self, name: str, path: Steps, what: str, found: str, known: Iterable[str]) -> None:
        """Notes a reference to something that does not exist; ``what`` says what it should be."""
        names = sorted(known)
        if found not in names:
            listed = ", ".join(names) or "none is configured"
            guess = _did_you_mean(found, names)
            self._say(name, path, f"found {_shown(found)}, expected {what} ({listed}){guess}")

    def _unique(self, name: str, list_name: str, codes: Iterable[str]) -> None:
        first: dict[str, int] = {}
        for n, code in enumerate(codes):
            if first.setdefault(code, n) != n:
                where = _dotted((list_name, first[code], "code"))
                self._say(name, (list_name, n, "code"), f"found {_shown(code)} again; {where} has it already")

    def _same_as_file(self, document: _Document, key: str) -> None:
        if document.value[key] != document.stem:
            found = _shown(document.value[key])
            self._say(document.name, (key,), f"found {found}, expected {document.stem!r} as the file is named")

    def _chain(self, document: _Document) -> Chain:
        raw, name = document.value, document.name
        units = tuple(Unit(code, shape["kind"], shape["scale"]) for code, shape in raw["units"].items())
        chain = Chain(
            code=raw["chain"]["code"],
            name=raw["chain"]["name"],
            units=units,
            partners=tuple(raw["partners"]),
            stores=tuple(raw["stores"]),
            products=tuple(raw["products"]),
        )
        for key in ("partners", "stores", "products"):
            self._unique(name, key, [item.code for item in raw[key]])
        partners, programmes = [partner.code for partner in chain.partners], self._stems("programmes")
        for n, store in enumerate(chain.stores):
            self._known(name, ("stores", n, "partner"), "a partner of the chain", store.partner, partners)
        for n, product in enumerate(chain.products):
            at: Steps = ("products", n)
            self._known(name, (*at, "programme"), "a programme", product.programme, programmes)
            for problem in _number_problems(product):
                self._say(name, (*at, "length"), problem)
        return chain

    def _programme(self, document: _Document, chain: Chain | None) -> Programme:
        raw = document.value
        self._same_as_file(document, "programme")
        self._known_unit(document.name, ("unit",), raw["unit"], chain)
        return Programme(
            code=raw["programme"],
            unit=raw["unit"],
            cashback_hundredths=raw["cashback_percent"],
            payable_hundredths=raw["payable_percent"],
            pending_days=raw["pending_days"],
            expires_days=raw["expires_days"],
            discount=raw["discount"],
            bonus=raw["bonus"],
            excluded_categories=tuple(raw["excluded_categories"]),
            minimum_price_minor=self._minimum_price(document, chain) if chain else 0,
        )

    def _minimum_price(self, document: _Document, chain: Chain) -> int:
        text = document.value["minimum_price"]
        if scaled(text, MAX_SCALE) == 0:
            return 0
        scales = {unit.scale for unit in chain.units if unit.kind == MONEY}
        if len(scales) != 1:
            self._say(document.name, ("minimum_price",), "expected money units of one scale in chain.yaml")
            return 0
        price = _decimal(text, min(scales))
        if price is None:
            digits = f"a price with at most {min(scales)} digits after the point"
            self._say(document.name, ("minimum_price",), f"found {_shown(text)}, expected {digits}")
        return price or 0

    def _known_unit(self, name: str, path: Steps, found: str, chain: Chain | None) -> None:
        if chain:
            self._known(name, path, "a unit of chain.yaml", found, [unit.code for unit in chain.units])

    def _link_schema(self, raw: Any) -> Schema:
        return _link_schema(raw, self._adapters)

    def _link(self, document: _Document, chain: Chain | None) -> LinkSettings:
        raw, name = document.value, document.name
        self._same_as_file(document, "link")
        if chain:
            self._known(name, ("store",), "a store of chain.yaml", raw["store"], [s.code for s in chain.stores])
        self._known(name, ("adapter",), "an adapter", raw["adapter"], self._adapters)
        for path, unit in _units_named(document.raw.get("options"), ("options",)):
            self._known_unit(name, path, unit, chain)
        return LinkSettings(
            code=raw["link"],
            adapter=raw["adapter"],
            store=raw["store"],
            enabled=raw["enabled"],
            secret_sha256=self._secret(document, self._adapters.get(raw["adapter"])),
            addresses=tuple(raw["credentials"].get("addresses", ())),
            options=raw["options"],
        )

    def _secret(self, document: _Document, adapter: Adapter | None) -> bytes | None:
        """The secret's SHA-256, by which it is recognised; a link that is switched off may do without."""
        credentials, path = document.value["credentials"], ("credentials", "secret")
        variable = credentials.get("secret")
        if variable is None:
            self._check_addresses(document)
            return None
        secret = self._environ.get(variable, "").strip()
        if not secret and document.value["enabled"]:
            self._say(document.name, path, f"environment variable {variable} is not set")
        elif secret and (expected := _unfit(secret, adapter)):
            self._say(document.name, path, f"environment variable {variable}: expected {expected}")
        return hashlib.sha256(secret.encode()).digest() if secret else None

    def _check_addresses(self, document: _Document) -> None:
        """Without a secret the addresses are all that keeps strangers out."""
        networks = document.value["credentials"].get("addresses", ())
        if not networks:
            self._say(document.name, ("credentials",), "expected a secret, addresses, or both")
        for n, network in enumerate(networks):
            if network.prefixlen == 0:
                text = f"found '{network}', which lets everybody in: expected a secret as well"
                self._say(document.name, ("credentials", "addresses", n), text)


def _registered() -> Mapping[str, Adapter]:
    from adapters.registry import ADAPTERS  # here, so that tests with adapters of their own need none of them

    return ADAPTERS


def _number_problems(product: Product) -> Iterator[str]:
    """What is wrong with the shape of the product's card numbers."""
    free = product.length - len(product.prefix) - (1 if product.luhn else 0)
    shape = f"found {product.length} digits with prefix {product.prefix!r}"
    if free < 1:
        yield f"{shape}, expected room for random digits behind the prefix"
    elif int(product.prefix.ljust(product.length, "9")) > MAX_CARD_NUMBER:
        yield f"{shape}, expected numbers below 2**63: tills carry them as integers"
    elif product.value and product.kind == "bearer" and 10**free < NUMBERS_PER_CARD:
        yield (
            f"{shape}, which leaves {10**free} numbers; expected at least {NUMBERS_PER_CARD} for bearer "
            "cards of value, where at most one number in a million may be a card (100,000 cards need "
            "16 digits with a 4-digit prefix)"
        )


def _unfit(secret: str, adapter: Adapter | None) -> str:
    """What was expected of the secret; empty when it will do. Never tells the secret."""
    if len(secret) < MIN_SECRET_CHARACTERS:
        return f"at least {MIN_SECRET_CHARACTERS} characters (openssl rand -hex 16), found {len(secret)}"
    in_path = adapter is not None and any(route.auth.scheme == "secret_path" for route in adapter.routes)
    if in_path and not re.fullmatch(r"[A-Za-z0-9._~-]+", secret):
        return "letters, digits and . _ ~ - only, because it stands in the address (openssl rand -hex 16)"
    return ""


def _units_named(raw: Any, path: Steps) -> Iterator[tuple[Steps, str]]:
    """Every text under a key ``unit`` in an adapter's options: by convention the code of a unit."""
    items = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    for key, value in items:
        if key == "unit" and isinstance(value, str):
            yield (*path, key), value
        else:
            yield from _units_named(value, (*path, key))


# Words of problems ------------------------------------------------------------------------------------------

_EXPECTED = {
    fields.String: "text",
    fields.Integer: "a whole number",
    fields.Boolean: "true or false",
    fields.Nested: "a mapping",
    fields.Dict: "a mapping",
    fields.List: "a list",
}
# marshmallow's own sentences; ``None``: say what the field takes.
_SENTENCES = (
    (re.compile(r"(?:Not a valid|Invalid) .*"), None),
    (re.compile(r"Field may not be null\."), None),
    (re.compile(r"Must be (.*?)\.?"), r"\1"),
    (re.compile(r"Shorter than minimum length (\d+)\."), r"at least \1 of them"),
)


def _explain(
    schema: Schema | fields.Field[Any] | None, raw: Any, messages: Any, path: Steps = ()
) -> Iterator[tuple[Steps, str]]:
    """Walks marshmallow's messages beside the schema and the raw data; yields path and problem."""
    if isinstance(messages, list):
        for message in messages:
            yield path, _problem(schema, raw, str(message))
        return
    for key, inner in messages.items():
        if key == "_schema":
            yield from _explain(schema, raw, inner, path)
        elif isinstance(schema, fields.Dict):
            yield from _explain_entry(schema, raw, key, inner, path)
        elif isinstance(schema, fields.List):
            yield from _explain(schema.inner, _item(raw, key), inner, (*path, key))
        else:
            yield from _explain_key(schema, raw, key, inner, path)


def _explain_entry(schema: fields.Dict, raw: Any, key: Any, messages: Any, path: Steps) -> Iterator[tuple[Steps, str]]:
    """A Dict tells problems of the key and of the value apart."""
    if not isinstance(messages, dict):
        yield from _explain(schema.value_field, _item(raw, key), messages, (*path, key))
        return
    if "key" in messages:
        yield from _explain(schema.key_field, key, messages["key"], (*path, key))
    if "value" in messages:
        yield from _explain(schema.value_field, _item(raw, key), messages["value"], (*path, key))


def _explain_key(
    schema: Schema | fields.Field[Any] | None, raw: Any, key: Any, messages: Any, path: Steps
) -> Iterator[tuple[Steps, str]]:
    """One key of a mapping with a schema; the unknown and the missing ones are told here."""
    inner = schema.schema if isinstance(schema, fields.Nested) else schema
    known = {f.data_key or n: f for n, f in inner.fields.items()} if isinstance(inner, Schema) else {}
    if key not in known and messages == ["Unknown field."]:
        listed = ", ".join(map(str, known))
        yield (*path, key), f"unknown key, expected one of {listed}{_did_you_mean(key, known)}"
    elif isinstance(raw, dict) and key not in raw:
        yield (*path, key), f"missing, expected {_expected(known.get(key))}"
    else:
        yield from _explain(known.get(key), _item(raw, key), messages, (*path, key))


def _problem(schema: Schema | fields.Field[Any] | None, raw: Any, message: str) -> str:
    found = "found a literal" if isinstance(schema, _SecretName) else f"found {_shown(raw)}"
    if isinstance(schema, _Field) and message.startswith(schema.expected):
        return f"{found}, expected {message}"
    for pattern, words in _SENTENCES:
        match = pattern.fullmatch(message)
        if match:
            return f"{found}, expected {match.expand(words) if words else _expected(schema)}"
    return message if isinstance(schema, Schema) else f"{found}: {message}"


def _expected(schema: Schema | fields.Field[Any] | None) -> str:
    """The words for what a field takes."""
    if isinstance(schema, _Field):
        return schema.expected
    return next((words for kind, words in _EXPECTED.items() if isinstance(schema, kind)), "a value")


def _item(raw: Any, key: Any) -> Any:
    try:
        return raw[key]
    except (KeyError, IndexError, TypeError):
        return None


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."


def _dotted(path: Sequence[str | int]) -> str:
    return ".".join(map(str, path))


def _did_you_mean(found: Any, known: Iterable[Any]) -> str:
    close = difflib.get_close_matches(str(found), [str(name) for name in known], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


# Master keys ------------------------------------------------------------------------------------------------

_NEW_KEYS = "\n".join(
    f'  export {name}="$(head -c 32 /dev/urandom | base64)"' for name in ("TILLGATE_MASTER_KEY", "TILLGATE_INDEX_KEY")
)


def load_keys(environ: Mapping[str, str], database_url: str) -> MasterKeys:
    """The keys that encrypt and index personal data, from the first place that has them.

    TILLGATE_MASTER_KEY and TILLGATE_INDEX_KEY (base64 of 32 bytes each); the file TILLGATE_KEYS_FILE with the
    lines ``master:`` and ``index:``; for SQLite the file ``<database file>.keys``, which is made if missing.
    Errors: ConfigError with the commands that make keys.
    """
    master, index = environ.get("TILLGATE_MASTER_KEY"), environ.get("TILLGATE_INDEX_KEY")
    if master or index:
        return _parse_keys("environment", {"TILLGATE_MASTER_KEY": master, "TILLGATE_INDEX_KEY": index})
    if environ.get("TILLGATE_KEYS_FILE"):
        return _read_keys(Path(environ["TILLGATE_KEYS_FILE"]))
    url = make_url(database_url)
    if url.get_backend_name() != "sqlite":
        raise ConfigError(
            "environment: TILLGATE_MASTER_KEY and TILLGATE_INDEX_KEY are not set. Make them once and keep "
            f"them apart from the database and its backups; without them personal data is lost:\n{_NEW_KEYS}"
        )
    if url.database in (None, "", ":memory:"):
        return MasterKeys(new_key(), new_key())
    return _keys_beside(Path(str(url.database).removeprefix("file:") + ".keys"))


def _keys_beside(path: Path) -> MasterKeys:
    """The keys of an SQLite database; a new file appears whole or not at all, readable by its owner only."""
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        lines = (f"{name}: {base64.b64encode(new_key()).decode()}\n" for name in ("master", "index"))
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write("".join(lines))
                file.flush()
                os.fsync(descriptor)
            with contextlib.suppress(FileExistsError):  # another process was faster: its keys hold
                os.link(draft, path)
                log.warning("keys_created", file=str(path), advice="keep a copy apart from the database")
        finally:
            draft.unlink()
    return _read_keys(path)


def _read_keys(path: Path) -> MasterKeys:
    try:
        lines = _read_yaml(path)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(lines, dict) or set(lines) != {"master", "index"}:
        raise ConfigError(f"{path}: expected two lines, master: and index:, with base64 of 32 bytes each")
    if path.stat().st_mode & 0o077:
        log.warning("keys_readable_by_others", file=str(path), advice=f"chmod 600 {path}")
    return _parse_keys(str(path), lines)


def _parse_keys(where: str, texts: Mapping[str, Any]) -> MasterKeys:
    """Errors: ConfigError, which names the key and never shows it."""
    keys = []
    for name, text in texts.items():
        try:
            key = base64.b64decode(str(text or ""), validate=True)
        except binascii.Error:
            key = b""
        if len(key) != KEY_BYTES:
            raise ConfigError(f"{where}: {name}: expected base64 of {KEY_BYTES} bytes, made once by\n{_NEW_KEYS}")
        keys.append(key)
    if keys[0] == keys[1]:
        raise ConfigError(f"{where}: the master key and the index key must differ")
    return MasterKeys(*keys)
