"""No inner address gets through, however it is written; a public one does."""

from __future__ import annotations

import socket
import threading
import time
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import outer_addresses
from gateway.outer_addresses import Address, LineBroke, is_inner, looked_up, may_reach, plain

FOUR = st.integers(0, 2**32 - 1).map(IPv4Address)
SIX = st.integers(0, 2**128 - 1).map(IPv6Address)
INNER_FOUR = st.one_of(
    st.ip_addresses(v=4, network=network)
    for network in ("10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
                    "0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4")
)  # fmt: skip
INNER_SIX = st.one_of(
    st.ip_addresses(v=6, network=network) for network in ("fc00::/7", "fe80::/10", "ff00::/8", "::/96", "fec0::/10")
)
NAT64 = int(IPv6Address("64:ff9b::"))
PUBLIC = ["1.1.1.1", "8.8.8.8", "77.88.8.8", "198.50.100.7", "2606:4700:4700::1111", "2a02:6b8::feed:ff"]


def mapped(address: IPv4Address) -> IPv6Address:
    return IPv6Address(0xFFFF << 32 | int(address))


def nat64(address: IPv4Address) -> IPv6Address:
    return IPv6Address(NAT64 | int(address))


def disguised(address: IPv4Address) -> list[IPv6Address]:
    """IPv6 addresses by which a system may come to this IPv4 one."""
    low = int(address)
    return [
        mapped(address),
        nat64(address),
        IPv6Address(low),  # IPv4-compatible
        IPv6Address(0xFFFF << 48 | low),  # IPv4-translated
        IPv6Address(0x2002 << 112 | low << 80 | 1),  # 6to4
        IPv6Address(0x20010000 << 96 | low << 64 | 1),  # Teredo: its server
        IPv6Address(0x20010000 << 96 | 0x01010101 << 64 | low ^ 0xFFFFFFFF),  # Teredo: its client
        IPv6Address(0x2A0206B8 << 96 | 0x5EFE << 32 | low),  # ISATAP
        IPv6Address(0x2A0206B8 << 96 | 0x02005EFE << 32 | low),
        IPv6Address(0x0064FF9B0001 << 80 | low),  # NAT64 of a network's own
    ]


@given(INNER_FOUR)
def test_no_inner_address_gets_through_in_any_form(address: IPv4Address) -> None:
    for form in (address, *disguised(address)):
        assert is_inner(form), form
        assert not may_reach(form, ())


@given(INNER_SIX)
def test_no_inner_ipv6_address_gets_through(address: IPv6Address) -> None:
    if not int(address) >> 32:
        return  # of the forms above
    assert is_inner(address)
    assert is_inner(IPv6Address(f"{address}%eth0"))


@given(st.one_of(FOUR, SIX))
def test_what_the_standard_library_calls_inner_is_inner(address: Address) -> None:
    """An opinion of its own, as far as it goes: of forms that stand for IPv4 it knows the mapped one only."""
    known = plain(address)
    if not known.is_global or known.is_multicast or known.is_reserved or known.is_unspecified or known.is_link_local:
        assert is_inner(address)


@given(FOUR)
def test_mapped_and_translated_addresses_are_judged_as_what_they_stand_for(address: IPv4Address) -> None:
    assert is_inner(mapped(address)) == is_inner(nat64(address)) == is_inner(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached_with_tls_only(address: str) -> None:
    assert may_reach(ip_address(address), ())
    assert not may_reach(ip_address(address), (), outside=False)


@given(INNER_FOUR)
def test_what_the_link_allows_is_reached_and_nothing_beside_it(address: IPv4Address) -> None:
    only = (IPv4Network(f"{address}/32"),)
    expected = address not in outer_addresses._METADATA
    assert may_reach(address, only, outside=False) == may_reach(mapped(address), only) == expected
    assert not may_reach(address + 1 if int(address) < 2**32 - 1 else address - 1, only, outside=False)


METADATA = ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "168.63.129.16", "100.100.100.200"]


@pytest.mark.parametrize("address", METADATA)
def test_metadata_services_are_out_of_reach_whatever_is_allowed(address: str) -> None:
    everything: tuple[Any, ...] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
    assert is_inner(ip_address(address))
    assert not may_reach(ip_address(address), everything)


@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "2130706433", "0", "::1", "::ffff:7f00:1", "localhost"])
def test_other_spellings_of_this_machine_are_this_machine(host: str) -> None:
    """The system reads them as it always does; what comes out is judged."""
    found = looked_up(host, 80, time.monotonic() + 30)
    assert found
    assert not any(may_reach(address, ()) for address in found)


@pytest.mark.parametrize("host", ["", "a" * 300, "a..b", "\u2024.example"])
def test_what_is_no_name_is_not_found(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if host == "":
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: (_ for _ in ()).throw(socket.gaierror()))
    with pytest.raises(LineBroke):
        looked_up(host, 80, time.monotonic() + 30)


def test_look_ups_that_hang_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    stop, begun = threading.Event(), []
    monkeypatch.setattr(outer_addresses, "_lookups", threading.BoundedSemaphore(2))

    def hang(*_: Any, **__: Any) -> list[Any]:
        begun.append(1)
        stop.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    for _ in range(5):
        with pytest.raises(LineBroke):
            looked_up("hangs.example", 80, time.monotonic() + 0.1)
    stop.set()
    assert len(begun) == 2


def test_networks_that_a_link_may_name_hold_their_addresses() -> None:
    assert may_reach(ip_address("10.20.0.7"), (ip_network("10.20.0.0/24"),))
    assert not may_reach(ip_address("10.20.1.7"), (ip_network("10.20.0.0/24"), ip_network("fd00::/8")))
