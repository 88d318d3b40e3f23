//! What a cache compares (§10.1).

use streamnest_core::{Position, Tenant};

/// The entity tag of what lies between two positions of the stream `id`; another one once the stream is closed, so that
/// a cache learns of it.
///
/// One URL is another stream for each tenant, so the tag of a stream that is a tenant's names it: a browser that keeps what
/// it read for one of them is never told that it is what another has.
pub fn etag(id: u64, tenant: Option<&Tenant>, from: Position, to: Position, closed: bool) -> String {
    let closed = if closed { ":c" } else { "" };
    // The keys of tenants have no character that a tag may not have.
    let tenant = tenant.map(|tenant| format!("{tenant}:")).unwrap_or_default();
    format!("\"{tenant}{id}:{from}:{to}{closed}\"")
}

/// Whether the value of an `If-None-Match` header names `etag` (RFC 9110 §13.1.2, weak comparison).
pub fn is_match(if_none_match: &str, etag: &str) -> bool {
    let strong = |tag: &str| tag.trim().strip_prefix("W/").unwrap_or(tag.trim()).to_owned();
    if_none_match.trim() == "*" || if_none_match.split(',').any(|tag| strong(tag) == etag)
}

#[cfg(test)]
mod tests {
    use streamnest_core::{Epoch, Seq};

    use super::*;

    #[test]
    fn a_tag_changes_with_the_range_the_stream_and_its_closure() {
        let at = |seq| Position::new(Epoch::new(7), Seq::try_from(seq).unwrap());
        let tenant = |name| Tenant::new(name).unwrap();
        let tags = [
            etag(1, None, at(0), at(1), false),
            etag(1, None, at(0), at(1), true),
            etag(1, None, at(0), at(2), false),
            etag(1, None, at(1), at(2), false),
            etag(2, None, at(0), at(1), false),
            etag(1, Some(&tenant("a\"b")), at(0), at(1), false),
            etag(1, Some(&tenant("c")), at(0), at(1), false),
        ];
        let distinct: std::collections::BTreeSet<_> = tags.iter().collect();
        assert_eq!(distinct.len(), tags.len());
        assert!(tags.iter().all(|tag| tag.starts_with('"')
            && tag.find([' ', '"']) == Some(0)
            && tag.matches('"').count() == 2));
    }

    #[test]
    fn a_list_of_tags_matches_any_of_them() {
        for value in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*"] {
            assert!(is_match(value, "\"a\""), "{value}");
        }
        for value in ["", "a", "\"b\"", "\"aa\""] {
            assert!(!is_match(value, "\"a\""), "{value}");
        }
    }
}
