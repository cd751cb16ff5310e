"""Signing in: either token endpoint, by the secrets that the link has; and the webhooks that go with a login.

What iiko shall send is kept by login and organization, with a secret of its own; only here are secrets known.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from adapters.contract import AGAIN, Calling, HttpCall, Link, Session, http
from adapters.iiko_cloud.calls import call, said
from adapters.iiko_cloud.guests import organization
from adapters.iiko_cloud.webhooks import SETTINGS, UPDATE, is_set, wanted
from adapters.json_parsing import Node, parse_json
from processing.errors import BadMessage, BadReply, LinkDown, LinkRefused

API_LOGIN, API_KEY, APP_ID, CLIENT_SECRET = "api_login", "api_key", "app_id", "client_secret"  # names, not secrets
WEBHOOK_TOKEN = "webhook_token"  # noqa: S105  # likewise
# What makes two links the same login.
OF_THE_LOGIN = frozenset({API_LOGIN, API_KEY, APP_ID, CLIENT_SECRET})
V1, V2 = "/api/1/access_token", "/api/v2/access_token"
# Tokens live an hour; one is kept no longer than this (docs/adapters/iiko_cloud.md, "Signing in and pace").
MOST_SECONDS = 55 * 60
MAX_TOKEN = 8_000

_TOKEN = re.compile(r"[\x21-\x7e]+\Z")


def login(secrets: Mapping[str, str], link: Link) -> Calling[Session]:
    """A token, and the webhooks as the link wants them. Errors: LinkDown also for a login that is refused: somebody has
    to act, and until then no message is given up; LinkRefused without secrets; BadReply."""
    path, told = _asked(secrets)
    reply = yield from http(unsigned(path, told, link))
    if 400 <= reply.status < 500 and reply.status not in AGAIN:
        raise LinkDown(f"the login is refused: HTTP {reply.status}")
    token = parse_json(said(reply, path).body).get("token").text(MAX_TOKEN)
    if not _TOKEN.match(token):
        raise BadReply("it gives no token")
    headers = {"authorization": f"Bearer {token}"}
    if link.options["webhooks"]:
        yield from _set_webhooks(headers, secrets.get(WEBHOOK_TOKEN, ""), link)
    return Session(headers, min(lifetime(token), MOST_SECONDS))


def unsigned(path: str, told: Mapping[str, Any], link: Link) -> HttpCall:
    return call(path, told, link, signed=False)


def _asked(secrets: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Which endpoint, and what it is told. Errors: LinkRefused."""
    if all(name in secrets for name in (API_KEY, APP_ID, CLIENT_SECRET)):
        names = {"apiKey": API_KEY, "appId": APP_ID, "clientSecret": CLIENT_SECRET}
        return V2, {name: secrets[mine] for name, mine in names.items()}
    if API_LOGIN in secrets:
        return V1, {"apiLogin": secrets[API_LOGIN]}
    raise LinkRefused(f"far_side.secrets: expected {API_LOGIN}, or {API_KEY}, {APP_ID} and {CLIENT_SECRET}")


def lifetime(token: str) -> int:
    """Seconds that a token of its kind lives, where it is a JWT that tells: from when it was issued to its end."""
    parts = token.split(".")
    if len(parts) != 3:
        return MOST_SECONDS
    try:
        claims = parse_json(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        seconds = claims.get("exp").integer() - claims.get("iat").integer()
    except (BadMessage, ValueError):
        return MOST_SECONDS
    return max(seconds, 1)


def _set_webhooks(headers: Mapping[str, str], token: str, link: Link) -> Calling[None]:
    """Tell iiko what to send, unless it does so. A no is passed over, for the pull tells of it: balances do not wait
    for a right that is missing."""
    mine = organization(link)
    try:
        told = yield from _say(SETTINGS, mine, headers, link)
        if not is_set(told, link) or told.get("authToken").text(MAX_TOKEN) != token:
            yield from _say(UPDATE, mine | wanted(token, link), headers, link)
    except (LinkRefused, BadMessage):
        return


def _say(path: str, told: Mapping[str, Any], headers: Mapping[str, str], link: Link) -> Calling[Node]:
    made = unsigned(path, told, link)
    signed = replace(made, headers={**made.headers, **headers})
    return parse_json(said((yield from http(signed)), path).body)
