"""Decide which IP addresses images may be fetched from.

Refused are addresses that are not globally routable (IANA special-purpose registries, as in Python's `ipaddress`), also
where IPv6 embeds them, and Azure's host, whose address looks globally routable.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# 168.63.129.16: Azure's DNS, DHCP and health agent, reachable from every machine in Azure.
# 192.88.99.0/24: 6to4 relays, deprecated (RFC 7526). The metadata address 169.254.169.254 is link-local.
# 192.0.0.0/24: IETF protocol assignments, which older Python versions report as global.
NAMED = (IPv4Network("168.63.129.16/32"), IPv4Network("192.88.99.0/24"), IPv4Network("192.0.0.0/24"))
NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
COMPATIBLE = IPv6Network("::/96")
# Outside of it are deprecated site-local addresses (RFC 3879) and unallocated ones: no public servers.
GLOBAL_UNICAST = IPv6Network("2000::/3")


def refused(address: str) -> bool:
    """Return whether connections to `address` are forbidden. An address that cannot be parsed is refused."""
    try:
        parsed = ip_address(address.split("%", 1)[0])
    except ValueError:
        return True
    return "%" in address or _refused(parsed)


def _refused(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not address.is_global or address.is_multicast or any(address in network for network in NAMED)
    embedded = _embedded(address)
    if embedded:
        return any(map(_refused, embedded))
    return not address.is_global or address.is_multicast or address not in GLOBAL_UNICAST


def _embedded(address: IPv6Address) -> list[IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address embeds: mapped, compatible, 6to4, Teredo, NAT64."""
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address.sixtofour is not None:
        return [address.sixtofour]
    if address.teredo is not None:
        return list(address.teredo)
    if address in COMPATIBLE or any(address in network for network in NAT64):
        return [IPv4Address(int(address) & 0xFFFFFFFF)]
    return []


class AllowedHosts:
    """The hosts of `FETCH_ALLOW_HOSTS`: names are compared with names, addresses with addresses and ranges."""

    def __init__(self, words: tuple[str, ...]) -> None:
        names: set[str] = set()
        networks: list[Network] = []
        for word in words:
            try:
                networks.append(ip_network(word.strip("[]"), strict=False))
            except ValueError:
                names.add(word.lower().rstrip("."))
        self._names = frozenset(names)
        self._networks = tuple(networks)

    def by_name(self, host: str) -> bool:
        """Return whether `host` is one of the names."""
        return host.lower().rstrip(".") in self._names

    def by_address(self, address: str) -> bool:
        """Return whether `address` is in one of the ranges; False where it is not an address."""
        try:
            parsed = ip_address(address.split("%", 1)[0].strip("[]"))
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks)
