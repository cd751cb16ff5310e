"""Signing in: Basic with a name in Cyrillic, and one session of 1C for each talk, ended with it.

Every call without a session opens one for itself: slow, and a licence. docs/adapters/onec_server.md, "Sessions".
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

from adapters.contract import Calling, HttpCall, Link, Session, http
from adapters.onec_server.answers import accepted
from adapters.onec_server.literals import target
from adapters.onec_server.options import mapping_of
from processing.errors import LinkRefused

PASSWORD = "password"  # noqa: S105  # a name, not a secret
SECONDS = 3600
START, FINISH = {"IBSession": "start"}, {"IBSession": "finish"}
_COOKIE = re.compile(r"^ibsession=([\x21-\x3a\x3c-\x7e]{1,200})", re.IGNORECASE | re.MULTILINE)


def login(secrets: Mapping[str, str], link: Link) -> Calling[Session]:
    """Headers for each call; a session where 1C gives one. Errors: LinkDown (no licence), LinkRefused."""
    if PASSWORD not in secrets:
        raise LinkRefused(f"far_side.secrets names no {PASSWORD}")
    headers = {"Authorization": f"Basic {credentials(link.options['user'], secrets[PASSWORD])}"}
    if not link.options["session"]:
        return Session(headers, SECONDS)
    place = least(link)
    reply = yield from http(HttpCall("GET", place, {**headers, **START}, signed=False, repeatable=False))
    cookie = _COOKIE.search(reply.headers.get("set-cookie", ""))
    if cookie is None:
        accepted(reply)  # one that keeps sessions by itself, or none
        return Session(headers, SECONDS)
    kept = {**headers, "Cookie": f"ibsession={cookie[1]}"}
    return Session(kept, SECONDS, goodbye=HttpCall("GET", place, FINISH, repeatable=False), for_talk=True)


def credentials(user: str, password: str) -> str:
    """The pair of Basic: UTF-8, as 1C reads it."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def least(link: Link) -> str:
    """The smallest thing to ask for."""
    mapping = mapping_of(link)
    if "service" in mapping:
        return "?wsdl"
    asked = (("$format", "json"), ("$top", "1"), ("$select", "Ref_Key"))
    return target(f"{link.options['path']}/{mapping['cards']['set']}", asked)
