//! Where a request belongs in a trace.

use http::HeaderMap;
use streamnest_core::TraceContext;

/// What the headers `traceparent` and `tracestate` say (W3C Trace Context §3.2 and §3.3). `None` if they say nothing, or not what
/// they should: then whatever the request starts has a trace of its own.
pub(crate) fn trace_of(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all("traceparent").iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else { return None };
    // Several lines of the state are one list.
    let states = headers.get_all("tracestate").iter().filter_map(|state| state.to_str().ok());
    let state = states.collect::<Vec<_>>().join(",");
    TraceContext::parse(parent.to_str().ok()?, Some(&state))
}
