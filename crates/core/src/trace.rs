//! Where a run belongs in a trace that crosses programs: W3C Trace Context, level 1.

use std::fmt;

/// The longest `tracestate` that is passed on, in bytes (§3.3.1.5 asks for at least 512).
const MAX_STATE: usize = 512;
/// The flag by which whoever called says that it recorded its part (§3.2.2.5.1).
const SAMPLED: u8 = 1;

/// A place in a trace: which trace, and what of it called.
///
/// It comes with the request that starts a run, as the headers `traceparent` and `tracestate`; a node passes it on with what it
/// calls itself.
///
/// ```
/// use streamnest_core::TraceContext;
///
/// let caller = TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None).unwrap();
/// assert_eq!(caller.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
/// assert_eq!(caller.traceparent(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TraceContext {
    trace_id: TraceId,
    span_id: SpanId,
    flags: u8,
    state: Option<Box<str>>,
}

/// The name of a trace: 16 bytes, not all zero. Shown as 32 digits of lowercase hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TraceId(u128);

/// The name of one part of a trace: 8 bytes, not all zero. Shown as 16 digits of lowercase hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SpanId(u64);

impl TraceId {
    /// Zero, which names nothing, becomes one.
    pub const fn new(bits: u128) -> Self {
        Self(if bits == 0 { 1 } else { bits })
    }

    /// Its bytes, big-endian.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl SpanId {
    /// Zero, which names nothing, becomes one.
    pub const fn new(bits: u64) -> Self {
        Self(if bits == 0 { 1 } else { bits })
    }

    /// Its bytes, big-endian.
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl TraceContext {
    /// A place in a trace that begins here, and is to be recorded.
    pub const fn new(trace_id: TraceId, span_id: SpanId) -> Self {
        Self { trace_id, span_id, flags: SAMPLED, state: None }
    }

    /// Reads the two headers. `None` if `traceparent` is not what it has to be, upon which a new trace begins (§3.2.2); a
    /// `tracestate` that is too long or no printable ASCII is left out.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let mut fields = traceparent.split('-');
        let mut field = |digits: usize| {
            let text = fields.next().filter(|text| text.len() == digits)?;
            let legal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            text.bytes().all(legal).then(|| u128::from_str_radix(text, 16).ok())?
        };
        let (version, trace, parent, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
        // A later version may say more after that; this one does not (§4.3).
        let is_whole = fields.next().is_none() || version > 0;
        if version == 0xff || trace == 0 || parent == 0 || !is_whole {
            return None;
        }
        let printable = |text: &&str| text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
        let state = tracestate
            .map(|text| text.trim_matches([' ', '\t']))
            .filter(|text| !text.is_empty() && text.len() <= MAX_STATE);
        Some(Self {
            trace_id: TraceId(trace),
            span_id: SpanId(u64::try_from(parent).ok()?),
            flags: u8::try_from(flags).ok()? & SAMPLED,
            state: state.filter(printable).map(Into::into),
        })
    }

    /// The same trace, seen from another part of it.
    #[must_use]
    pub fn at(&self, span_id: SpanId) -> Self {
        Self { span_id, ..self.clone() }
    }

    /// Which trace.
    pub const fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// Which part of it.
    pub const fn span_id(&self) -> SpanId {
        self.span_id
    }

    /// Whether the caller recorded its part, and so wants this one recorded too.
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The value of the header `traceparent`.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags)
    }

    /// The value of the header `tracestate`, as it came; `None` if there was none.
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "b7ad6b7169203331";

    #[test]
    fn what_is_read_is_written_again() {
        for flags in ["00", "01"] {
            let text = format!("00-{TRACE}-{PARENT}-{flags}");
            let read = TraceContext::parse(&text, Some("congo=t61rcWkgMzE,rojo=00f067aa0ba902b7")).unwrap();
            assert_eq!(read.traceparent(), text);
            assert_eq!(read.tracestate(), Some("congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"));
            assert_eq!(read.is_sampled(), flags == "01");
            let inner = read.at(SpanId::new(0x10));
            assert_eq!(inner.traceparent(), format!("00-{TRACE}-0000000000000010-{flags}"));
        }
        // A later version, which says more, is read as far as it is known.
        let later = TraceContext::parse(&format!("cc-{TRACE}-{PARENT}-03-what"), None).unwrap();
        assert_eq!(later.traceparent(), format!("00-{TRACE}-{PARENT}-01"));
    }

    #[test]
    fn what_is_no_context_is_none() {
        let zeros = "0".repeat(32);
        for text in [
            String::new(),
            format!("00-{TRACE}-{PARENT}"),
            format!("00-{TRACE}-{PARENT}-01-more"),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("00-{zeros}-{PARENT}-01"),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{}-{PARENT}-01", TRACE.to_uppercase()),
            format!("00-{}-{PARENT}-01", &TRACE[1..]),
            format!("00-{TRACE}-{PARENT}-0g"),
            format!("00-{TRACE}-{PARENT}-+1"),
        ] {
            assert_eq!(TraceContext::parse(&text, None), None, "{text}");
        }
        let text = format!("00-{TRACE}-{PARENT}-01");
        for state in ["", "a=\u{e9}", "a=\n", &"x".repeat(513)] {
            assert_eq!(TraceContext::parse(&text, Some(state)).unwrap().tracestate(), None, "{state}");
        }
    }
}
