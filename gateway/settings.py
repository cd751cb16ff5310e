"""Configuration: a directory of YAML files and secrets from the environment, read once into frozen data.

A mistake stops the start. All mistakes are collected and told in one ConfigError, a line each: the file, the
path inside it, what was found and what was expected. Numbers with a point never become floats on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from marshmallow import Schema, ValidationError

from adapters.contract import ADVANCE, LINE_DISCOUNT, Adapter, FiscalWays, FromFile, InFile, OfLink
from adapters.declarative import Declared
from adapters.registry import ADAPTERS
from gateway import credentials, far_side, programmes
from gateway.adapter_files import of_folder, plugged_in
from gateway.alerts import AlertSettings
from gateway.credentials import LinkSecret
from gateway.delivery_policy import DeliverySettings
from gateway.far_side import FarSide
from gateway.problems import Problems, did_you_mean, shown
from gateway.programme_schemas import ProgrammeSchema
from gateway.schemas import MAX_SCALE, ChainSchema, GatewaySchema, Network, link_schema
from gateway.senders import HTTP, PLACES, unknown_places
from gateway.yaml_files import Steps, read_yaml
from processing import numbers
from processing.chain import Chain, Product
from processing.errors import ConfigError
from processing.events import BALANCE_BELOW, Subscription
from processing.programme.document import ProgrammeDocument
from processing.units import MONEY, PAR_MILLIONTHS, POINTS

# The till family that speaks REST; the others are named as their adapters.
REST = "rest"
MAX_CARD_NUMBER = 2**63 - 1
# In the place of a list of stores.
ALL_STORES = "all"
DEAF = "it has addresses and no secret, so that its HTTP face refuses everybody; files are read all the same"


@dataclass(frozen=True, slots=True)
class ExchangeLogLimits:
    """How long and how much the exchange log keeps, and how much may wait to be written."""

    keep_days: int = 30
    keep_megabytes: int = 2000
    buffer_messages: int = 5000
    buffer_megabytes: int = 32


@dataclass(frozen=True, slots=True)
class ServerSettings:
    threads: int = 16


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Whether ``serve`` does recurring work itself, and how long it pauses between rounds."""

    enabled: bool = True
    interval_seconds: int = 30


@dataclass(frozen=True, slots=True)
class UploadSettings:
    """Where files lie that far sides upload, until they are read, and how much of them; empty: a temporary folder."""

    folder: str = ""
    megabytes: int = 4096


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """How long codes are kept after they were sent, holds after they have ended, delivered messages, and receipts that
    other systems have told of after they were closed."""

    confirmation_code_days: int = 30
    hold_days: int = 400
    outbox_days: int = 30
    # A quarter and the one after it, in which it is closed, with a week to spare.
    learned_receipt_days: int = 190


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """``requests_per_minute`` of a client that has no number of its own."""

    requests_per_minute: int = 600


@dataclass(frozen=True, slots=True)
class CodeSettings:
    """How confirmation codes reach phones (gateway/senders.py); the secret comes from the environment."""

    sender: str = "none"
    text: str = "{code} - код подтверждения"
    url: str = ""
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Any] = field(default_factory=dict)
    secret: str = field(default="", repr=False)
    expect: str = ""
    timeout_seconds: int = 5


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """``answer_seconds`` is what a till waits at most; ``queue_limit`` requests may wait for a batch."""

    exchange_log: ExchangeLogLimits = ExchangeLogLimits()
    server: ServerSettings = ServerSettings()
    worker: WorkerSettings = WorkerSettings()
    uploads: UploadSettings = UploadSettings()
    retention: RetentionSettings = RetentionSettings()
    api: ApiSettings = ApiSettings()
    codes: CodeSettings = field(default_factory=CodeSettings)
    delivery: DeliverySettings = field(default_factory=DeliverySettings)
    alerts: AlertSettings = field(default_factory=AlertSettings)
    answer_seconds: int = 8
    queue_limit: int = 2000


@dataclass(frozen=True, slots=True)
class Fiscal:
    """How the fiscal receipts of a till family tell what points and gift cards pay (adapters/contract.py)."""

    points: str = LINE_DISCOUNT
    gift_cards: str = ADVANCE

    def way(self, kind: str) -> str:
        """That of a unit of this kind."""
        return self.points if kind == POINTS else self.gift_cards


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """One configured connection. A caller proves all that is set: a secret, and one of the addresses.

    Of two secrets either will do: so one is changed without a pause. ``user``: the name that goes with it in Basic
    authentication, any when empty.
    """

    code: str
    adapter: str
    store: str
    enabled: bool
    secrets: tuple[LinkSecret, ...] = field(repr=False)
    addresses: tuple[Network, ...]
    options: Mapping[str, Any]
    fiscal: Mapping[str, str] = field(default_factory=dict)
    # Whom it speaks to, what that wants to be told of the books, and how it is delivered.
    far_side: FarSide | None = None
    messages: Subscription | None = None
    delivery: DeliverySettings = field(default_factory=DeliverySettings)
    user: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a configuration directory says; programmes and links under their codes.

    ``fiscal`` is how the receipts of tills that speak REST tell what cards pay; links have their own. ``adapters``: all
    that links may name; ``documents`` are those of them that the configuration describes itself.
    """

    gateway: GatewaySettings
    chain: Chain
    programmes: Mapping[str, ProgrammeDocument]
    links: Mapping[str, LinkSettings]
    fiscal: Fiscal = Fiscal()
    adapters: Mapping[str, Adapter] = field(default_factory=lambda: ADAPTERS)
    documents: Mapping[str, Declared] = field(default_factory=dict)

    def adapter_of(self, link: LinkSettings) -> Adapter:
        return self.adapters[link.adapter]

    @property
    def deaf(self) -> list[str]:
        """Links that name callers' addresses and no secret, and whose protocol believes nobody without one.

        Right for a link whose files come by hand; of any other somebody has forgotten the secret.
        """
        found = [link for link in self.links.values() if link.enabled and link.addresses and not link.secrets]
        return sorted(link.code for link in found if credentials.needs_secret(self.adapter_of(link)))


def load(
    directory: str | Path,
    environ: Mapping[str, str],
    adapters: Mapping[str, Adapter] | None = None,
    needs_secrets: bool = True,
) -> Settings:
    """The checked configuration; who serves nobody does without secrets that are not set.

    ``adapters``: those that links may name beside the configuration's own documents; without it all that are installed.

    Errors: ConfigError with every problem of every file.
    """
    reading = _Reading(Path(directory), environ, plugged_in() if adapters is None else adapters, needs_secrets)
    settings = reading.settings()
    if settings is None or reading.problems.lines:
        raise ConfigError("\n".join(reading.problems.lines))
    return settings


def load_chain(directory: str | Path) -> Chain:
    """What chain.yaml says; needs no secrets. Errors: ConfigError."""
    reading = _Reading(Path(directory), {}, {})
    chain = reading.chain()
    if chain is None or reading.problems.lines:
        raise ConfigError("\n".join(reading.problems.lines))
    return chain


def raw_options(directory: str | Path, link: str) -> dict[str, Any]:
    """The options of a link as its file says them, before any schema; of a configuration that was loaded already."""
    document = read_yaml(Path(directory) / "links" / f"{link}.yaml")
    return dict(document.get("options") or {}) if isinstance(document, dict) else {}


def read_programme(file: Path, chain: Chain, code: str | None = None) -> ProgrammeDocument:
    """The programme of one file, wherever it is. With ``code`` it has to say that. Errors: ConfigError."""
    reading = _Reading(Path(), {}, {})
    document = reading.programme(str(file), chain, code)
    if document is None or reading.problems.lines:
        raise ConfigError("\n".join(reading.problems.lines))
    return document


class _Document(NamedTuple):
    """A file that its schema has accepted; ``name`` is its path below the configuration directory."""

    name: str
    raw: dict[str, Any]
    value: dict[str, Any]


class _Reading:
    """One walk over a configuration directory."""

    def __init__(
        self, root: Path, environ: Mapping[str, str], adapters: Mapping[str, Adapter], needs_secrets: bool = True
    ) -> None:
        self.problems = Problems(root)
        self._root = root
        self._environ = environ
        self._adapters = dict(adapters)
        self._documents: dict[str, Declared] = {}
        self._needs_secrets = needs_secrets
        # Units whose points are not worth one of money each, and the programmes that say so.
        self._priced: dict[str, str] = {}
        self._fiscal: dict[str, Fiscal] = {}

    def settings(self) -> Settings | None:
        """Everything read and checked; ``None`` without a usable chain.yaml, to which the rest refers."""
        if not self._root.is_dir():
            self.problems.say(str(self._root), (), "not a directory; expected one with chain.yaml in it")
            return None
        self._check_names()
        self._documents = {each.adapter.name: each for each in of_folder(self._root, self._adapters, self.problems)}
        self._adapters |= {name: each.adapter for name, each in self._documents.items()}
        written = (self._root / "gateway.yaml").exists()
        gateway = self._document("gateway.yaml", lambda _: GatewaySchema()) if written else None
        found = self._document("chain.yaml", lambda _: ChainSchema())
        chain = self._chain(found) if found else None
        self._fiscal = self._fiscal_of_families(found) if found else {}
        found_programmes = list(self._folder("programme", lambda _: ProgrammeSchema()))
        said = [self._programme(one, chain) for one in found_programmes] if chain else []
        self._priced = {each.unit: each.code for each in said if each.point_price_millionths != PAR_MILLIONTHS}
        delivery = gateway.value.get("delivery", {}) if gateway else {}
        links = [self._link(one, chain, delivery) for one in self._folder("link", self._link_schema)]
        if chain is None:
            return None
        return Settings(
            msgspec.convert(self._gateway(gateway) if gateway else {}, GatewaySettings),
            chain,
            {programme.code: programme for programme in said},
            {link.code: self._with_named(link, links) for link in links},
            self._fiscal[REST],
            self._adapters,
            self._documents,
        )

    def chain(self) -> Chain | None:
        """What chain.yaml says, alone."""
        found = self._document("chain.yaml", lambda _: ChainSchema())
        return self._chain(found) if found else None

    def programme(self, name: str, chain: Chain, code: str | None) -> ProgrammeDocument | None:
        """The programme of the file with this path."""
        found = self._document(name, lambda _: ProgrammeSchema())
        if found is None:
            return None
        if code is not None:
            self._check_own_name(found, "programme", code)
        return self._programme(found, chain)

    def _check_names(self) -> None:
        """Files that would silently be left out: misspelt names and the ending .yml."""
        known = ("gateway.yaml", "chain.yaml")
        for path in sorted(self._root.glob("*.yaml")):
            if path.name not in known:
                guess = did_you_mean(path.name, known)
                text = f"not a file of the configuration; expected {' and '.join(known)}{guess}"
                self.problems.say(path.name, (), text)
        for path in sorted([*self._root.glob("*.yml"), *self._root.glob("*/*.yml")]):
            self.problems.say(path.relative_to(self._root).as_posix(), (), "not read; its name must end in .yaml")

    def _document(self, name: str, schema_for: Callable[[dict[str, Any]], Schema]) -> _Document | None:
        """The file, or ``None`` with its problems noted. Its schema may depend on what it says."""
        try:
            raw = read_yaml(self._root / name)
        except ValueError as error:
            self.problems.say(name, (), str(error))
            return None
        if not isinstance(raw, dict):
            self.problems.say(name, (), f"found {shown(raw)}, expected a mapping")
            return None
        schema = schema_for(raw)
        try:
            return _Document(name, raw, schema.load(raw))
        except ValidationError as error:
            self.problems.explain(name, schema, raw, error.messages)
            return None

    def _folder(self, kind: str, schema_for: Callable[[dict[str, Any]], Schema]) -> Iterator[_Document]:
        """The files of a folder, each with its own name under the key ``kind``."""
        for stem in self._stems(f"{kind}s"):
            document = self._document(f"{kind}s/{stem}.yaml", schema_for)
            if document:
                self._check_own_name(document, kind, stem)
                yield document

    def _link_schema(self, raw: dict[str, Any]) -> Schema:
        """Its schema, once what options name is read from files of their own."""
        adapter, options = self._adapters.get(str(raw.get("adapter"))), raw.get("options")
        if adapter is not None and isinstance(options, dict):
            for name, option in adapter.options().fields.items():
                if isinstance(option, InFile) and isinstance(options.get(name), str):
                    found = self._in_file(f"links/{raw.get('link')}.yaml", name, options[name], option)
                    options[name] = FromFile(found.value if found else {})
        return link_schema(raw, self._adapters)

    def _in_file(self, link: str, option: str, stem: str, field: InFile) -> _Document | None:
        """The file that an option names, or ``None`` with its problems noted."""
        stems = self._stems(field.folder)
        self.problems.check_known(link, ("options", option), f"a file of {field.folder}", stem, stems)
        found = self._document(f"{field.folder}/{stem}.yaml", lambda _: field.schema) if stem in stems else None
        if found and option in found.raw:
            self._check_own_name(found, option, stem)
        return found

    def _check_own_name(self, document: _Document, kind: str, stem: str) -> None:
        if document.raw[kind] != stem:
            text = f"found {shown(document.raw[kind])}, expected {stem!r} as the file is named"
            self.problems.say(document.name, (kind,), text)

    def _stems(self, folder: str) -> list[str]:
        return sorted(path.stem for path in (self._root / folder).glob("*.yaml"))

    def _gateway(self, document: _Document) -> dict[str, Any]:
        """What the file says, with the secret of the SMS gateway in the place of its variable."""
        codes, path = dict(document.value.get("codes", {})), ("codes",)
        if codes.get("sender") == HTTP and not codes.get("url"):
            self.problems.say(document.name, (*path, "url"), "missing, expected the SMS gateway's address")
        for name in ("headers", "params", "form", "json"):
            for place in sorted(unknown_places(codes.get(name, {}))):
                known = ", ".join(f"{{{place}}}" for place in sorted(PLACES))
                self.problems.say(document.name, (*path, name), f"found {{{place}}}, expected one of {known}")
        if variable := codes.get("secret"):
            codes["secret"] = self._environ.get(variable, "").strip()
            if not codes["secret"] and self._needs_secrets:
                self.problems.say(document.name, (*path, "secret"), f"environment variable {variable} is not set")
        return {**document.value, "codes": codes, "alerts": self._alerts(document)}

    def _alerts(self, document: _Document) -> dict[str, Any]:
        """The rules, with the secret of the mail server in the place of its variable."""
        alerts = dict(document.value.get("alerts", {}))
        stems = self._stems("links")
        for n, rule in enumerate(alerts.get("rules", ())):
            for m, link in enumerate(rule.get("links", ())):
                self.problems.check_known(document.name, ("alerts", "rules", n, "links", m), "a link", link, stems)
        if variable := alerts.get("mail", {}).get("secret"):
            secret = self._environ.get(variable, "").strip()
            if not secret and self._needs_secrets:
                path = ("alerts", "mail", "secret")
                self.problems.say(document.name, path, f"environment variable {variable} is not set")
            alerts["mail"] = {**alerts["mail"], "secret": secret}
        return alerts

    def _chain(self, document: _Document) -> Chain:
        name, value, problems = document.name, document.value, self.problems
        scales = {code: unit["scale"] for code, unit in value["units"].items()}
        units = [self._unit(document, code, unit) for code, unit in value["units"].items()]
        products = [self._product(document, n, item, scales) for n, item in enumerate(value["products"])]
        chain = msgspec.convert({**value, **value["chain"], "units": units, "products": products}, Chain)
        for key in ("partners", "stores", "products"):
            problems.check_unique(name, key, [item["code"] for item in value[key]])
        partners, stems = [partner.code for partner in chain.partners], self._stems("programmes")
        for n, store in enumerate(chain.stores):
            problems.check_known(name, ("stores", n, "partner"), "a partner of the chain", store.partner, partners)
        for n, product in enumerate(chain.products):
            path = ("products", n, "programme")
            problems.check_known(name, path, "a programme", product.programme, stems)
            for text in _number_problems(product):
                problems.say(name, ("products", n, "length"), text)
        return chain

    def _fiscal_of_families(self, document: _Document) -> dict[str, Fiscal]:
        """Of every till family what the chain says, where it can do that; else its own way."""
        families = {REST: FiscalWays(), **{name: adapter.fiscal for name, adapter in self._adapters.items()}}
        said = document.value["fiscal"]
        for family in said:
            self.problems.check_known(document.name, ("fiscal", family), "a till family", family, families)
        found = {}
        for family, ways in families.items():
            told = said.get(family, {})
            able = {"points": ways.points, "gift_cards": ways.gift_cards}
            for name, way in told.items():
                if way not in able[name]:
                    text = f"found {way!r}, expected {' or '.join(able[name])}: all that its tills can print"
                    self.problems.say(document.name, ("fiscal", family, name), text)
            found[family] = Fiscal(**{name: told.get(name, first) for name, (first, *_) in able.items()})
        return found

    def _unit(self, document: _Document, code: str, unit: dict[str, Any]) -> dict[str, Any]:
        limit = self._minor(document, ("units", code, "adjust_limit"), unit["adjust_limit"], unit["scale"])
        return {"code": code, **unit, "adjust_limit": limit}

    def _product(self, document: _Document, n: int, item: dict[str, Any], scales: Mapping[str, int]) -> dict[str, Any]:
        """The product with its amounts in minor units of what it is worth: the chain's money, where there is one."""
        path: Steps = ("products", n)
        money = [code for code, unit in document.value["units"].items() if unit["kind"] == MONEY]
        unit = item["value_unit"] or (money[0] if item["value"] and len(money) == 1 else "")
        told = [name for name in ("value_unit", "amounts", "least_amount", "most_amount", "pin") if item[name]]
        if not item["value"] and told:
            self.problems.say(document.name, (*path, told[0]), "expected value: true, for cards that carry money")
        elif item["value"] and unit not in money:
            self.problems.say(document.name, (*path, "value_unit"), f"found {shown(unit)}, expected a unit of money")
        scale = scales.get(unit, 0)
        least = self._minor(document, (*path, "least_amount"), item["least_amount"], scale)
        most = self._minor(document, (*path, "most_amount"), item["most_amount"], scale)
        given = {
            name: amount for name, amount in (("least_amount", least), ("most_amount", most)) if amount is not None
        }
        amounts = [self._minor(document, (*path, "amounts", i), a, scale) for i, a in enumerate(item["amounts"])]
        plain = {name: each for name, each in item.items() if name not in ("least_amount", "most_amount")}
        return {**plain, **given, "value_unit": unit, "amounts": amounts}

    def _minor(self, document: _Document, path: Steps, amount: int | None, scale: int) -> int | None:
        """An amount at MAX_SCALE in minor units of a scale."""
        if amount is None:
            return None
        minor, rest = divmod(amount, 10 ** (MAX_SCALE - scale))
        if rest:
            self.problems.say(document.name, path, f"expected at most {scale} digits after the point")
        return int(minor)

    def _programme(self, document: _Document, chain: Chain) -> ProgrammeDocument:
        return programmes.Reading(document.name, document.raw, document.value, chain, self.problems).document()

    def _check_scale(self, name: str, path: Steps, code: str, adapter: Adapter | None, chain: Chain | None) -> None:
        wanted = adapter.unit_scale if adapter else None
        for unit in chain.units if chain and wanted is not None else ():
            if unit.code == code and unit.scale != wanted:
                self.problems.say(name, path, f"found {code} of scale {unit.scale}, expected a unit of scale {wanted}")
        if wanted is not None and code in self._priced:
            text = f"found {code}, expected points worth one of money each: not so in programme {self._priced[code]}"
            self.problems.say(name, path, text)

    def _check_unit(self, name: str, path: Steps, found: str, chain: Chain | None) -> None:
        if chain:
            self.problems.check_known(name, path, "a unit of chain.yaml", found, [unit.code for unit in chain.units])

    def _link(self, document: _Document, chain: Chain | None, delivery: Mapping[str, Any]) -> LinkSettings:
        name, value, problems = document.name, document.value, self.problems
        if chain:
            stores = [store.code for store in chain.stores]
            problems.check_known(name, ("store",), "a store of chain.yaml", value["store"], stores)
        problems.check_known(name, ("adapter",), "an adapter", value["adapter"], self._adapters)
        for path, unit in _units_named(document.raw.get("options"), ("options",)):
            self._check_unit(name, path, unit, chain)
            self._check_scale(name, path, unit, self._adapters.get(value["adapter"]), chain)
        return LinkSettings(
            code=value["link"],
            adapter=value["adapter"],
            store=value["store"],
            enabled=value["enabled"],
            secrets=self._secrets(document),
            addresses=tuple(value["credentials"]["addresses"]),
            options=value["options"],
            fiscal={unit.code: self._fiscal[adapter].way(unit.kind) for unit in chain.units}
            if chain and (adapter := value["adapter"]) in self._fiscal
            else {},
            far_side=self._far_side(document),
            messages=self._messages(document, chain),
            delivery=msgspec.convert(_together(delivery, value["delivery"]), DeliverySettings),
            user=value["credentials"]["user"],
        )

    def _with_named(self, link: LinkSettings, links: Sequence[LinkSettings]) -> LinkSettings:
        """The link with the options of those that its own options name, in the place of their codes."""
        adapter = self._adapters.get(link.adapter)
        named = (
            {name: each for name, each in adapter.options().fields.items() if isinstance(each, OfLink)}
            if adapter
            else {}
        )
        options = dict(link.options)
        for name, option in named.items():
            if code := options.get(name):
                known = {
                    each.code: each for each in links if (each.adapter, each.store) == (option.adapter, link.store)
                }
                what = f"a link of {option.adapter} and of this store"
                self.problems.check_known(f"links/{link.code}.yaml", ("options", name), what, code, known)
                options[name] = known[code].options if code in known else {}
        return replace(link, options=options) if named else link

    def _secrets(self, document: _Document) -> tuple[LinkSecret, ...]:
        value = document.value
        adapter = self._adapters.get(value["adapter"])
        speaks = value.get("far_side") is not None and adapter is not None
        by_hand = bool(adapter and adapter.files and value["credentials"]["addresses"])
        reading = credentials.Reading(
            document.name, value["credentials"], adapter, self.problems, not (speaks or by_hand)
        )
        return reading.secrets(self._environ, value["enabled"] and self._needs_secrets)

    def _far_side(self, document: _Document) -> FarSide | None:
        """Whom the link speaks to, with its secrets from the environment."""
        value, adapter = document.value.get("far_side"), self._adapters.get(document.value["adapter"])
        if value is None:
            # A link that tills speak to, or whose files come by hand, may do without.
            if adapter and (adapter.push or adapter.pull) and not (adapter.routes or adapter.files):
                self.problems.say(document.name, ("far_side",), "missing, expected the address of the far side")
            return None
        declared = self._documents.get(document.value["adapter"])
        for name in sorted(declared.secrets - value["secrets"].keys() if declared else ()):
            self.problems.say(document.name, ("far_side", "secrets"), f"expected {name}: the adapter's login says it")
        reading = far_side.Reading(document.name, value, self._root, self.problems)
        return reading.far_side(self._environ, document.value["enabled"] and self._needs_secrets)

    def _messages(self, document: _Document, chain: Chain | None) -> Subscription | None:
        """What the link wants to be told: of its own store only, unless it names others."""
        value, path = document.value.get("messages"), ("messages",)
        if value is None or chain is None:
            return None
        adapter = self._adapters.get(document.value["adapter"])
        push = adapter.push.wants if adapter and adapter.push else frozenset()
        for n, kind in enumerate(value["kinds"]):
            self.problems.check_known(document.name, (*path, "kinds", n), "a kind that the adapter sends", kind, push)
        codes = [store.code for store in chain.stores]
        stores = value.get("stores", [document.value["store"]])
        for n, store in enumerate(stores if stores != [ALL_STORES] else ()):
            self.problems.check_known(document.name, (*path, "stores", n), "a store of chain.yaml", store, codes)
        scales = {unit.code: unit.scale for unit in chain.units}
        below = {}
        for unit, amount in value["below"].items():
            self._check_unit(document.name, (*path, "below", unit), unit, chain)
            below[unit] = self._minor(document, (*path, "below", unit), amount, scales.get(unit, 0)) or 0
        if (BALANCE_BELOW in value["kinds"]) != bool(below):
            text = f"expected below: and the kind {BALANCE_BELOW} together"
            self.problems.say(document.name, (*path, "below"), text)
        wanted = None if stores == [ALL_STORES] else frozenset(stores)
        return Subscription(document.value["link"], frozenset(value["kinds"]), wanted, below)


def _together(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """How all links are delivered to, and what this one says otherwise."""
    attempts = {**common.get("attempts", {}), **own.get("attempts", {})}
    return {**common, **own, "attempts": attempts}


def _number_problems(product: Product) -> Iterator[str]:
    """What is wrong with the shape of the product's card numbers."""
    free = numbers.free_digits(product)
    shape = f"found {product.length} digits with prefix {product.prefix!r}"
    if free < 1:
        yield f"{shape}, expected room for random digits behind the prefix"
    elif int(product.prefix.ljust(product.length, "9")) > MAX_CARD_NUMBER:
        yield f"{shape}, expected numbers below 2**63: tills carry them as integers"
    elif product.value and product.kind == "bearer" and not product.pin and numbers.capacity(product) < 1:
        yield (
            f"{shape}, which leaves {10**free} numbers; expected at least {numbers.GREATEST_DENSITY} for bearer "
            "cards of value, where at most one number in a million may be a card (100,000 cards need "
            "16 digits with a 4-digit prefix); or pin: true"
        )


def _units_named(raw: Any, path: Steps) -> Iterator[tuple[Steps, str]]:
    """Every text under a key ``unit`` in an adapter's options: by convention the code of a unit."""
    items = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    for key, value in items:
        if key == "unit" and isinstance(value, str):
            yield (*path, key), value
        else:
            yield from _units_named(value, (*path, key))
