//! From where a client asks.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use http::{HeaderMap, HeaderName, header, uri::Scheme};
use ipnet::IpNet;

/// The most proxies of a chain that are looked at.
const MAX_HOPS: usize = 32;
/// Where a proxy says by which scheme it was asked, unless it does so in `Forwarded`.
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The address of a connection's other end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerAddress(pub(crate) IpAddr);

/// From where a client asks: the address for which its limits count. Of IPv6 it is the /64 network.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ClientAddress(IpAddr);

impl ClientAddress {
    pub(crate) fn new(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => Self(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into()),
            v4 @ IpAddr::V4(_) => Self(v4),
        }
    }

    /// From where a request comes. What proxies that are trusted say counts; what anybody else says does not. `None` where
    /// another program accepted the connection and does not tell.
    pub(crate) fn of(request: &Request, trusted: &TrustedProxies) -> Option<Self> {
        Some(Self::new(forwarded(peer_of(request)?, request.headers(), trusted)))
    }
}

/// The other end of a request's connection, by whoever accepted that.
fn peer_of(request: &Request) -> Option<IpAddr> {
    let extensions = request.extensions();
    let peer = extensions.get::<PeerAddress>().map(|peer| peer.0);
    peer.or_else(|| extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip()))
}

/// The proxies whose word about addresses counts, and in which header they say it. Any other header may come from the client
/// itself, so that it is not looked at.
#[derive(Clone, Debug)]
pub(crate) struct TrustedProxies {
    pub(crate) networks: Vec<IpNet>,
    pub(crate) header: HeaderName,
}

impl TrustedProxies {
    /// Whether an address is a proxy's.
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// By which scheme the nearest proxy says that it was asked: in `X-Forwarded-Proto`, or `proto=…` of `Forwarded` where that is
    /// their header. `None` if the request comes from no proxy that is trusted, or that says nothing.
    pub(crate) fn scheme(&self, request: &Request) -> Option<Scheme> {
        if !self.contain(peer_of(request)?) {
            return None;
        }
        let is_forwarded = self.header == header::FORWARDED;
        let name = if is_forwarded { header::FORWARDED } else { X_FORWARDED_PROTO };
        // Whatever stands before the last one may be the client's own.
        let said = texts(request.headers(), &name).last()?;
        let said = if is_forwarded { parameter(said, "proto")? } else { said };
        [Scheme::HTTP, Scheme::HTTPS].into_iter().find(|scheme| scheme.as_str().eq_ignore_ascii_case(said))
    }
}

/// Goes back along the proxies, from the nearest, as long as each is trusted. What cannot be read ends the chain: it is from
/// beyond the last one that is.
fn forwarded(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> IpAddr {
    let mut address = peer;
    if !trusted.contain(address) {
        return address;
    }
    // RFC 7239 has a form of its own; the headers that came before it list addresses.
    let read = if trusted.header == header::FORWARDED { of_forwarded } else { of_node };
    let hops: Vec<_> = texts(headers, &trusted.header).map(read).collect();
    for hop in hops.into_iter().rev().take(MAX_HOPS) {
        let Some(next) = hop else { break };
        address = next;
        if !trusted.contain(address) {
            break;
        }
    }
    address
}

/// The members of a header that lists some, in order.
fn texts<'a>(headers: &'a HeaderMap, name: &'a HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().map(|value| value.to_str().unwrap_or_default());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// The address in `for=…` of one member of `Forwarded`.
fn of_forwarded(member: &str) -> Option<IpAddr> {
    of_node(parameter(member, "for")?)
}

/// A parameter of one member of `Forwarded`.
fn parameter<'a>(member: &'a str, wanted: &str) -> Option<&'a str> {
    let mut pairs = member.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
    Some(value.trim_matches('"'))
}

/// An address, with or without a port: `192.0.2.1:80`, `[2001:db8::1]:80`, `2001:db8::1`.
fn of_node(node: &str) -> Option<IpAddr> {
    if let Ok(address) = node.parse() {
        return Some(address);
    }
    if let Ok(socket) = node.parse::<SocketAddr>() {
        return Some(socket.ip());
    }
    node.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests;
