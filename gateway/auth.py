"""Who is calling: a link by its secret and its addresses, an API client by its key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qsl

import jwt
from werkzeug.datastructures import Headers

from adapters.contract import Auth, SignedIn, SignIn
from gateway.schemas import Network
from gateway.settings import LinkSettings
from processing.errors import BadCredentials, Forbidden

MAX_PARAMETERS = 1_000
# Of a session's name: nobody guesses it, and it names a folder.
SESSION_BYTES = 16


@lru_cache(maxsize=10_000)
def _is_inside(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        caller = ip_address(address)
    except ValueError:
        return False
    # A socket for both families tells IPv4 callers as ::ffff:10.20.0.1.
    caller = getattr(caller, "ipv4_mapped", None) or caller
    return any(caller in network for network in networks)


def check_address(link: LinkSettings, address: str) -> None:
    """Errors: BadCredentials when the link names addresses and this is none of them."""
    if link.addresses and not _is_inside(address, link.addresses):
        raise BadCredentials("the address is not allowed")


def strip_secret(link: LinkSettings, rest: str) -> str:
    """The path behind the secret, for links that carry it there. Errors: BadCredentials.

    A link that is switched off may have a secret that nobody told us: then nobody is right.
    """
    if _is_known_by_address(link):
        return rest
    secret, _, behind = rest.partition("/")
    _check_secret(link, secret.encode("utf-8", "surrogateescape"), "the secret in the path is wrong")
    return behind


def check_caller(link: LinkSettings, auth: Auth, headers: Mapping[str, str], query: str, at: datetime) -> None:
    """Errors: BadCredentials. Secrets in the path and digests of the body are checked elsewhere."""
    if _is_known_by_address(link):
        return
    if auth.scheme == "basic":
        _check_basic(link, headers)
    elif auth.scheme == "bearer":
        given = _after(headers, "bearer") or headers.get("authorization", "").strip()
        _check_secret(link, given.encode("latin-1", "replace"), "the header Authorization is wrong")
    elif auth.scheme == "header":
        _check_secret(link, headers.get(auth.name, "").encode("latin-1", "replace"), f"the header {auth.name} is wrong")
    elif auth.scheme == "query":
        given = dict(parse_qsl(query, max_num_fields=MAX_PARAMETERS)).get(auth.name, "")
        _check_secret(link, given.encode("utf-8", "surrogateescape"), f"the parameter {auth.name} is wrong")
    elif auth.scheme == "issued_token":
        check_token(link, _after(headers, "bearer"), at)


def _is_known_by_address(link: LinkSettings) -> bool:
    """Whether its addresses are all that its callers prove; of a link without either nobody is believed."""
    return not link.secrets and bool(link.addresses) and link.enabled


def check_digest(link: LinkSettings, auth: Auth, headers: Mapping[str, str], body: bytes) -> None:
    """``Authorization: <name> <hex of MD5 over the secret and the raw body>``. Errors: BadCredentials.

    MD5 lets a stranger who has seen a message make one that begins with it; handlers must read the whole body as one
    document, so that a tail makes no sense (docs/security.md).
    """
    given = _after(headers, auth.name).lower().encode("latin-1", "replace")
    good = [hashlib.md5(secret.text + body, usedforsecurity=False).hexdigest().encode() for secret in link.secrets]
    if True not in [hmac.compare_digest(given, each) for each in good]:
        raise BadCredentials("the digest of the body is wrong")


def _check_secret(link: LinkSettings, given: bytes, text: str) -> None:
    digest = hashlib.sha256(given).digest()
    # All of them, so that the time tells nothing.
    if True not in [hmac.compare_digest(digest, secret.sha256) for secret in link.secrets]:
        raise BadCredentials(text)


def _check_basic(link: LinkSettings, headers: Mapping[str, str]) -> None:
    """RFC 7617; tills send names and passwords as UTF-8, old ones in Windows-1251."""
    try:
        pair = base64.b64decode(_after(headers, "basic"), validate=True)
    except ValueError:
        raise BadCredentials("the header Authorization is not Basic") from None
    user, _, password = _text(pair).partition(":")
    _check_secret(link, password.encode("utf-8", "surrogateescape"), "the password is wrong")
    if link.user and not hmac.compare_digest(user.encode("utf-8", "surrogateescape"), link.user.encode()):
        raise BadCredentials("the user is wrong")


def caller_of(link: LinkSettings, auth: Auth, headers: Mapping[str, str]) -> str:
    """Who speaks, as adapters are told: the link, and behind a slash the Basic user where the link names none.

    So several tills may share a link and its password, and still hold value each for itself.
    """
    if auth.scheme != "basic" or link.user:
        return link.code
    try:
        user = _text(base64.b64decode(_after(headers, "basic"), validate=True)).partition(":")[0]
    except ValueError:
        return link.code
    return f"{link.code}/{user}" if user else link.code


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1251", "replace")


def _after(headers: Mapping[str, str], scheme: str) -> str:
    """What the header Authorization says behind the scheme; empty for another scheme."""
    said, _, rest = headers.get("authorization", "").strip().partition(" ")
    return rest.strip() if said.lower() == scheme.lower() else ""


# Tokens of the protocols that sign in ---------------------------------------------------------------------------

_ALGORITHM = "HS256"


def sign_in(link: LinkSettings, ask: SignIn, at: datetime) -> SignedIn:
    """A token for whoever knows the link's secret. Errors: BadCredentials.

    A JWT (RFC 7519) signed with a key that is made of the secret: every process knows it, and with the secret its
    tokens end. Nothing is stored.
    """
    _check_secret(link, ask.secret.encode("utf-8", "surrogateescape"), "the login is wrong")
    ends = at + timedelta(seconds=ask.seconds)
    claims = {"sub": link.code, "iat": int(at.timestamp()), "exp": int(ends.timestamp())}
    secret = hashlib.sha256(ask.secret.encode("utf-8", "surrogateescape")).digest()
    return SignedIn(token=jwt.encode(claims, _token_key(secret), _ALGORITHM), expires_at=ends)


def check_token(link: LinkSettings, token: str, at: datetime) -> None:
    """Errors: BadCredentials for a token that another link gave out, that was changed, or that has ended."""
    _claims(link, token, at)


def _claims(link: LinkSettings, token: str, at: datetime) -> Mapping[str, Any]:
    for secret in link.secrets:
        try:
            # Its end is compared with the request's own time.
            claims = jwt.decode(token, _token_key(secret.sha256), [_ALGORITHM], options=_CLAIMS)
        except jwt.InvalidTokenError:
            continue
        if claims["sub"] == link.code and claims["exp"] > at.timestamp():
            return dict(claims)
    raise BadCredentials("the token is unknown or has ended")


def open_session(link: LinkSettings, at: datetime, seconds: int) -> str:
    """A token with a name of its own for somebody who has just proved himself; nothing is stored.

    Errors: BadCredentials for a link without a secret.
    """
    if not link.secrets:
        raise BadCredentials("the link has no secret")
    claims = {"sub": link.code, "exp": int(at.timestamp()) + seconds, "jti": secrets.token_hex(SESSION_BYTES)}
    return jwt.encode(claims, _token_key(link.secrets[0].sha256), _ALGORITHM)


def session_of(link: LinkSettings, token: str, at: datetime) -> str:
    """The name of the session that the token opens. Errors: BadCredentials, also for a token that opens none."""
    name = str(_claims(link, token, at).get("jti", ""))
    if not name:
        raise BadCredentials("the token opens no session")
    return name


_CLAIMS: Any = {"require": ["exp", "sub"], "verify_exp": False, "verify_iat": False}


def _token_key(secret_sha256: bytes) -> bytes:
    return hashlib.sha256(b"tillgate: tokens of a link" + secret_sha256).digest()


# API clients ------------------------------------------------------------------------------------------------

# What a client may do: verbs by resource. ``*`` is all of them.
SCOPES: dict[str, str] = {
    "cards:read": "find and identify cards, make QR tokens",
    "cards:write": "issue, activate, block, unblock, replace cards, set PINs",
    "receipts:read": "read receipts and quote them",
    "receipts:write": "post, void, restore, return and exchange receipts",
    "receipts:learn": "tell of receipts that other systems keep",
    "holds:read": "read holds",
    "holds:write": "place, capture and release holds",
    "accounts:read": "balances, lots, statements, operations",
    "value:write": "top up, redeem, accrue, transfer, pay out, sell gift cards",
    "adjust:write": "ask for corrections",
    "adjust:approve": "decide on corrections of others",
    "holders:read": "read holders and consents, masked",
    "holders:write": "register, update, merge and erase holders, give and withdraw consents",
    "subscriptions:write": "keep where an outside system wants to be told of something",
    "personal:read": "see names, phones, e-mails and birthdays in the clear",
    "codes:write": "send and check confirmation codes",
    "goods:write": "tell names and categories of goods",
    "chain:read": "partners, stores, units, products, links",
    "exchange:read": "the exchange log, masked",
    "audit:read": "the audit log",
    "reports:read": "settlement between partners, liability, reconciliation of receipts",
    "queues:read": "what waits for stores and partner systems, and every attempt, masked",
    "queues:write": "pause and resume queues, requeue and skip messages",
}
EVERYTHING = "*"

MAX_CLIENT_NAME = 64
KEY_PREFIX = "tg_"
KEY_BYTES = 20
CACHE_SECONDS = 5.0
MAX_CACHED = 1_000


@dataclass(frozen=True, slots=True)
class ApiClient:
    """Who asks at REST. ``stores`` None: may speak for all of them; ``requests_per_minute`` None: the default."""

    name: str
    scopes: frozenset[str]
    stores: frozenset[str] | None
    requests_per_minute: int | None

    def may(self, scope: str) -> bool:
        return scope in self.scopes or EVERYTHING in self.scopes

    def check_scope(self, scope: str) -> None:
        """Errors: Forbidden."""
        if not self.may(scope):
            raise Forbidden(f"the client lacks the scope {scope}", scope=scope)

    def check_store(self, store: str) -> None:
        """Errors: Forbidden."""
        if self.stores is not None and store not in self.stores:
            raise Forbidden("the client does not speak for this store", store=store[:MAX_CLIENT_NAME])


def new_api_key() -> str:
    """A key that nobody guesses: 160 bits."""
    return KEY_PREFIX + secrets.token_hex(KEY_BYTES)


def key_digest(key: str) -> bytes:
    """By what a key is stored and looked up."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def api_key(headers: Headers) -> str:
    """The key of ``Authorization: Bearer`` or ``X-Api-Key``. Errors: BadCredentials."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else headers.get("X-Api-Key", "").strip()
    if not key:
        raise BadCredentials("an API key is needed: Authorization: Bearer <key>")
    return key


class ApiClients:
    """The clients by their keys, each remembered for a few seconds: so long a revoked key may still work."""

    def __init__(self, find: Callable[[bytes], ApiClient | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._find = find
        self._clock = clock
        self._cache: dict[bytes, tuple[ApiClient, float]] = {}
        self._lock = threading.Lock()

    def by_key(self, key: str) -> ApiClient:
        """Errors: BadCredentials, the same for unknown and revoked keys."""
        digest = key_digest(key)
        known, until = self._cache.get(digest, (None, 0.0))
        if known is not None and self._clock() < until:
            return known
        client = self._find(digest)
        with self._lock:
            self._cache.pop(digest, None)
            if client is None:
                raise BadCredentials("the API key is not known or was revoked")
            if len(self._cache) >= MAX_CACHED:
                del self._cache[next(iter(self._cache))]
            self._cache[digest] = (client, self._clock() + CACHE_SECONDS)
        return client
