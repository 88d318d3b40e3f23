//! Hosts and origins that are allowed, as options name them.
//!
//! They are compared with what clients send, so what no client sends is put in the form that they do send, or refused: a rule that
//! can never match looks like one that lets somebody in.

use http::uri::{Authority, Scheme};

use super::{is_plain, split_origin};

/// A host as clients write it in `Host`, or what is wrong with it.
pub(crate) fn host(name: &str) -> Result<String, String> {
    if name.contains('*') {
        return Err(format!("has {name:?}, but takes no patterns; name each host"));
    }
    let authority = name.parse::<Authority>().ok().filter(is_plain);
    let authority = authority.ok_or_else(|| format!("has {name:?}, which is no host name or address"))?;
    match authority.port_u16() {
        Some(port @ (80 | 443)) => Err(format!(
            "has {name:?}, but clients leave the usual port {port} out; write {:?}, which is good for every port",
            authority.host()
        )),
        _ => Ok(name.to_ascii_lowercase()),
    }
}

/// An origin as browsers write it (RFC 6454 §6.2), which leave the usual port out, or what is wrong with it.
pub(crate) fn origin(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err(format!("has {text:?}, but takes no patterns; name each origin"));
    }
    let Some((scheme, authority)) = split_origin(text) else {
        return Err(format!("has {text:?}, which is no origin; write https://host or http://host:port"));
    };
    let usual = if scheme == Scheme::HTTPS { 443 } else { 80 };
    let host = authority.host().to_ascii_lowercase();
    Ok(match authority.port_u16().filter(|port| *port != usual) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    })
}
