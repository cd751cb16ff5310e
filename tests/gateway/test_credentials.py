"""How callers of each scheme prove themselves at the tills' door, and what keeps strangers out."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import jwt
import pytest

from adapters.contract import Adapter, Asking, Auth, Link, Route, SignIn, WireRequest, WireResponse, one
from gateway.auth import caller_of, check_token, sign_in
from gateway.credentials import Reading
from gateway.pos import KEPT_OF_TOO_LARGE, Headers
from gateway.problems import Problems
from processing.errors import BadCredentials
from tests.gateway.test_pos import OTHER, PROTOCOL, SECRET, TEXT, Heard, Till, echo, secret, settings

NEXT = "the-next-secret-of-the-link-43210"
AT = datetime(2026, 5, 4, 16, 52, 31, tzinfo=UTC)
BODY = b'{"card": "5550001234"}'


def enter(request: WireRequest, link: Link) -> Asking[WireResponse]:
    signed = yield from one(SignIn(secret=request.body.decode(), seconds=3600))
    return WireResponse(signed.token.encode(), TEXT)


def spoken(auth: Auth) -> Adapter:
    routes = (Route("echo", echo, auth), Route("login", enter, Auth("open")))
    return replace(PROTOCOL, name=f"{auth.scheme}-{auth.name}", routes=routes)


def till(auth: Auth, **changes: Any) -> Till:
    return Till(settings(secrets=(secret(SECRET), secret(NEXT)), **changes), adapter=spoken(auth))


def basic(pair: bytes) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": "Basic " + base64.b64encode(pair).decode()}


def digest(key: str, body: bytes = BODY) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": f"FrontolAuth {hashlib.md5(key.encode() + body).hexdigest()}"}


def token(door: Till, key: str = SECRET, **claims: Any) -> dict[str, str]:
    issued = sign_in(door.link, SignIn(secret=key, seconds=60), datetime.now(UTC)).token
    if claims:
        told = jwt.decode(issued, options={"verify_signature": False}) | claims
        issued = jwt.encode(told, hashlib.sha256(b"a key of a stranger, long enough").digest(), "HS256")
    return {"HTTP_AUTHORIZATION": f"Bearer {issued}"}


BASIC, DIGEST, TOKEN = Auth("basic"), Auth("body_digest", "FrontolAuth"), Auth("issued_token")
HEADER, QUERY = Auth("header", "X-Key"), Auth("query", "key")

GOOD: list[tuple[Auth, dict[str, str]]] = [
    *((BASIC, basic(f"till:{each}".encode())) for each in (SECRET, NEXT)),
    (BASIC, {"HTTP_AUTHORIZATION": "basic " + base64.b64encode(f"till:{SECRET}".encode()).decode()}),
    *((DIGEST, digest(each)) for each in (SECRET, NEXT)),
    (DIGEST, {"HTTP_AUTHORIZATION": digest(SECRET)["HTTP_AUTHORIZATION"].upper()}),
    *((HEADER, {"HTTP_X_KEY": each}) for each in (SECRET, NEXT)),
    *((QUERY, {"QUERY_STRING": f"a=1&key={each}&b=2"}) for each in (SECRET, NEXT)),
    (Auth("open"), {}),
]
BAD: list[tuple[Auth, dict[str, str]]] = [
    *((auth, {}) for auth in (BASIC, DIGEST, HEADER, QUERY, TOKEN)),
    (BASIC, basic(f"till:{OTHER}".encode())),
    (BASIC, basic(SECRET.encode())),
    (BASIC, {"HTTP_AUTHORIZATION": f"Basic till:{SECRET}"}),
    (BASIC, {"HTTP_AUTHORIZATION": f"Bearer {SECRET}"}),
    (DIGEST, digest(OTHER)),
    (DIGEST, digest("")),
    (DIGEST, digest(SECRET, BODY + b" ")),
    (DIGEST, {"HTTP_AUTHORIZATION": hashlib.md5(SECRET.encode() + BODY).hexdigest()}),
    (HEADER, {"HTTP_X_KEY": OTHER}),
    (HEADER, {"HTTP_X_KEY": "\u20ac"}),
    (QUERY, {"QUERY_STRING": f"key={OTHER}"}),
    (QUERY, {"QUERY_STRING": f"Key={SECRET}"}),
    (TOKEN, {"HTTP_AUTHORIZATION": "Bearer a.b.c"}),
]


@pytest.mark.parametrize(("auth", "told"), GOOD)
def test_who_proves_himself_by_either_secret_is_heard(auth: Auth, told: dict[str, str]) -> None:
    assert tell(till(auth), told).status == 200


@pytest.mark.parametrize(("auth", "told"), BAD)
def test_a_stranger_is_refused_in_the_protocols_words(auth: Auth, told: dict[str, str]) -> None:
    door = till(auth)
    assert tell(door, told).body == b"no: bad_credentials"
    assert door.row["outcome"] == "bad_credentials"


def tell(door: Till, told: dict[str, str], body: bytes = BODY) -> Heard:
    return door.send_to("echo", body, **told)


def test_the_secret_in_a_query_is_seen_by_nobody() -> None:
    door = till(QUERY)
    heard = tell(door, {"QUERY_STRING": f"a=1&%6bey={OTHER}&b=2&key={SECRET}"})
    assert json.loads(heard.body)["query"] == "a=1&b=2"
    assert SECRET not in repr(door.row) and OTHER not in repr(door.row)


def test_the_secret_in_a_query_is_seen_by_nobody_on_a_path_that_is_none_either() -> None:
    door = till(QUERY)
    assert door.send_to("nowhere", QUERY_STRING=f"a=1&key={SECRET}").body == b"no: no_such_route"
    assert door.row["request"].query == "a=1"
    assert SECRET not in repr(door.row)


def test_a_link_may_name_the_user() -> None:
    for user, status in (("касса", 200), ("other", 403)):
        door = till(BASIC, user="касса")
        assert tell(door, basic(f"{user}:{SECRET}".encode())).status == status
        assert tell(door, basic(f"{user}:{SECRET}".encode("cp1251"))).status == status


def test_an_address_alone_will_do_where_the_protocol_can_do_with_it() -> None:
    known = (ip_network("192.0.2.0/24"),)
    assert Till(settings(secrets=(), addresses=known), adapter=spoken(BASIC)).send_to("echo").status == 200


def test_of_a_link_without_secret_and_addresses_nobody_is_believed() -> None:
    for auth in (BASIC, DIGEST, TOKEN, HEADER, QUERY, Auth("secret_path")):
        assert Till(settings(secrets=()), adapter=spoken(auth)).send_to("echo").status == 403


def test_a_body_with_a_wrong_digest_is_not_kept_whole() -> None:
    door = till(DIGEST)
    assert tell(door, digest(OTHER), b"x" * 100_000).status == 403
    assert len(door.row["request"].body) == KEPT_OF_TOO_LARGE


# Tokens -------------------------------------------------------------------------------------------------------


def test_who_signs_in_is_known_by_the_token() -> None:
    for key in (SECRET, NEXT):
        door = till(TOKEN)
        issued = door.send_to("login", key.encode())
        assert issued.body.count(b".") == 2
        assert tell(door, {"HTTP_AUTHORIZATION": f"Bearer {issued.body.decode()}"}).status == 200
    assert door.send_to("login", OTHER.encode()).body == b"no: bad_credentials"


def test_a_token_is_good_for_its_link_its_time_and_its_secret_only() -> None:
    door, other = till(TOKEN), till(TOKEN)
    assert tell(door, token(door)).status == 200
    assert tell(door, token(other)).status == 403
    assert tell(door, token(door, sub=door.link.code)).status == 403
    issued = sign_in(door.link, SignIn(secret=SECRET, seconds=60), AT).token
    check_token(door.link, issued, AT + timedelta(seconds=59))
    with pytest.raises(BadCredentials):
        check_token(door.link, issued, AT + timedelta(seconds=60))
    with pytest.raises(BadCredentials):
        check_token(replace(door.link, secrets=(secret(NEXT),)), issued, AT)


def test_a_token_without_a_signature_is_worth_nothing() -> None:
    door = till(TOKEN)
    claims = {"sub": door.link.code, "exp": int(datetime.now(UTC).timestamp()) + 60}
    for forged in (jwt.encode(claims, "", "none"), jwt.encode(claims, SECRET, "HS256")):
        assert tell(door, {"HTTP_AUTHORIZATION": f"Bearer {forged}"}).status == 403


# Configuration -------------------------------------------------------------------------------------------------


def read(auth: Auth, value: dict[str, Any], environ: dict[str, str]) -> tuple[Any, str]:
    problems = Problems(Path())
    secrets = Reading("links/a.yaml", {"addresses": (), **value}, spoken(auth), problems).secrets(environ, True)
    return secrets, "\n".join(problems.lines)


def test_no_secret_is_no_key() -> None:
    """MD5 over an empty key, and a token signed with none, are what anybody can make."""
    for auth in (DIGEST, TOKEN):
        assert "does not do without" in read(auth, {}, {})[1]
        assert "is not set" in read(auth, {"secret": "KEY"}, {"KEY": ""})[1]
    assert "expected a secret, addresses, or both" in read(BASIC, {}, {})[1]


def test_the_secret_itself_is_kept_only_where_a_digest_needs_it() -> None:
    both = {"secret": "KEY", "next_secret": "NEXT"}
    environ = {"KEY": SECRET, "NEXT": "слова через пробел и ещё"}
    for auth, keeps in ((DIGEST, True), (BASIC, False), (TOKEN, False)):
        (first, second), problems = read(auth, both, environ)
        assert problems == ""
        assert (first.text, second.text) == ((SECRET.encode(), environ["NEXT"].encode()) if keeps else (b"", b""))
    assert "at least 16" in read(BASIC, both, {"KEY": SECRET, "NEXT": "short"})[1]


@pytest.mark.parametrize(
    ("auth", "user", "told", "caller"),
    [
        (BASIC, "", basic(f"Касса 2:{SECRET}".encode()), "/Касса 2"),
        (BASIC, "", basic(f"Касса 2:{SECRET}".encode("cp1251")), "/Касса 2"),
        (BASIC, "", basic(f":{SECRET}".encode()), ""),
        (BASIC, "", {"HTTP_AUTHORIZATION": "Basic ?"}, ""),
        (BASIC, "till", basic(f"till:{SECRET}".encode()), ""),
        (HEADER, "", {"HTTP_X_KEY": SECRET} | basic(b"till:x"), ""),
    ],
)
def test_tills_of_a_link_that_names_no_user_are_told_apart_by_theirs(
    auth: Auth, user: str, told: dict[str, str], caller: str
) -> None:
    door = till(auth, user=user)
    assert caller_of(door.link, auth, Headers(told)) == door.link.code + caller
