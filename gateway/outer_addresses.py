"""Which addresses a link's calls may reach, and a connection to one that was checked.

A name is looked up once and the connection goes to an address of that answer: one that changes between check and
connect changes nothing. Our own network, this machine and the metadata services of clouds are out of reach, unless
the link names their network; written into an IPv6 address they are still what they are.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from gateway.schemas import Network
from processing.errors import BadReply, LinkDown

Address = IPv4Address | IPv6Address

# Look-ups that may be under way in this process: one that hangs cannot be called off.
MAX_LOOKUPS = 16
MOST_ADDRESSES = 8

# IANA's registries of special-purpose addresses, spelt out: what ipaddress calls private differs between versions.
_INNER_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/3",
        ),
    )
)
# Of IPv6 only global unicast is outside, less Teredo, ORCHID, documentation and 6to4.
_OUTER_6 = IPv6Network("2000::/3")
_INNER_6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
_NAT64 = IPv6Network("64:ff9b::/96")
_MAPPED = IPv6Network("::ffff:0:0/96")
_ISATAP = (0x00005EFE, 0x02005EFE)
# Where clouds hand out the machine's credentials. No link needs to talk to them, whatever networks it names.
_METADATA = frozenset(
    map(
        ip_address,
        ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"),
    )
)


class LineBroke(LinkDown):
    """The line failed; at once it may be better."""


class HalfAnswer(BadReply):
    """The answer broke off."""


def plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where the system would go there."""
    if isinstance(address, IPv6Address):
        address = IPv6Address(int(address))  # without its scope
        if address in _MAPPED or address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_inner(address: Address) -> bool:
    """Whether this leads anywhere but to a host of the public internet."""
    address = plain(address)
    if isinstance(address, IPv4Address):
        return address in _METADATA or any(address in network for network in _INNER_4)
    if address not in _OUTER_6 or any(address in network for network in _INNER_6):
        return True
    return int(address) >> 32 & 0xFFFFFFFF in _ISATAP


def may_reach(address: Address, allowed: Sequence[Network], outside: bool = True) -> bool:
    """Whether a call may go there: to what the link allows, and ``outside`` to public addresses."""
    address = plain(address)
    if address in _METADATA:
        return False
    return any(address in network for network in allowed) or (outside and not is_inner(address))


_lookups = threading.BoundedSemaphore(MAX_LOOKUPS)


def looked_up(host: str, port: int, until: float) -> list[Address]:
    """All addresses of the name, by one look-up. Errors: LineBroke, also where it takes longer than ``until``."""
    answer: queue.SimpleQueue[list[Address] | None] = queue.SimpleQueue()
    slots = _lookups

    def look() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answer.put(list(dict.fromkeys(ip_address(entry[4][0]) for entry in found)))
        except (OSError, ValueError):
            answer.put(None)
        finally:
            slots.release()

    if not slots.acquire(timeout=max(0.0, until - time.monotonic())):
        raise LineBroke("too many names are being looked up")
    threading.Thread(target=look, name="lookup", daemon=True).start()
    try:
        addresses = answer.get(timeout=max(0.0, until - time.monotonic()))
    except queue.Empty:
        raise LineBroke("the look-up of its name takes too long") from None
    if addresses is None:
        raise LineBroke("its name is not found")
    return addresses


def connect(
    host: str,
    port: int,
    allowed: Sequence[Network],
    outside: bool,
    until: float,
    make: type[socket.socket] = socket.socket,
) -> socket.socket:
    """A connection to an address of the host that may be reached. Errors: LinkDown where none may, LineBroke."""
    reachable = [each for each in looked_up(host, port, until) if may_reach(each, allowed, outside)]
    if not reachable:
        raise LinkDown("its address is an inner one that the link does not allow (inner_addresses)")
    for address in reachable[:MOST_ADDRESSES]:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        sock = make(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(max(0.001, until - time.monotonic()))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect((str(address), port))
        except OSError:
            sock.close()
        else:
            return sock
    raise LineBroke("no connection")
