"""Who is calling: a link by its secret and its addresses."""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from ipaddress import ip_address

from gateway.schemas import Network
from gateway.settings import LinkSettings
from processing.errors import BadCredentials


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
    if link.secret_sha256 is None and link.enabled:
        return rest
    secret, _, behind = rest.partition("/")
    given = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
    if not hmac.compare_digest(given, link.secret_sha256 or b""):
        raise BadCredentials("the secret in the path is wrong")
    return behind
