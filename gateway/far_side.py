"""What a link says of its far side: where it is, how long it may take, and what keeps us from strangers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network

from gateway.schemas import Network

# IPv4 addresses in the last 32 bits: behind a translator, and in the old way.
_NAT64, _COMPATIBLE = ip_network("64:ff9b::/96"), ip_network("::/96")


@dataclass(frozen=True, slots=True)
class FarSide:
    """``address`` is https://host/base, or file:///folder. Times in seconds; ``tries`` within one call, for calls that
    may be repeated. ``inner_addresses``: networks that are not of the public internet and may be called nevertheless.
    """

    address: str
    connect_seconds: int = 5
    read_seconds: int = 15
    max_answer_bytes: int = 4 << 20
    tries: int = 2
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""
    wsdl: str = ""
    inner_addresses: tuple[Network, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


def is_allowed(address: str, inner: tuple[Network, ...]) -> bool:
    """Whether a call may go to this address: a public one, or one of the link's own networks.

    An IPv4 address inside an IPv6 one (mapped, 6to4, Teredo, NAT64) counts as itself.
    """
    found = ip_address(address.partition("%")[0])
    if any(found.version == network.version and found in network for network in inner):
        return True
    if isinstance(found, IPv6Address):
        within = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if within is not None:
            return is_allowed(str(within), inner)
        if found in _NAT64:
            return is_allowed(str(ip_address(int(found) & 0xFFFFFFFF)), inner)
        if found in _COMPATIBLE or found.is_site_local:
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved
