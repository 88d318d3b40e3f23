//! Graphs, each with a name.

use super::spec::{Spec, spec};
use crate::support::chaos;

fn inner() -> Spec {
    spec(&["think : writes=text,sum", "say < think : writes=text,sum"])
}

fn forked() -> Spec {
    spec(&["s", "a < s : writes=text,list", "b < s : writes=text,list", "j < a & b"])
}

/// `s`, as many branches, and a join of all of them.
fn wide(branches: usize) -> Spec {
    let branches: Vec<_> = (0..branches).map(|branch| format!("b{branch}")).collect();
    let mut lines = vec!["s".to_owned()];
    lines.extend(branches.iter().map(|branch| format!("{branch} < s : writes=list,sum,set,own")));
    lines.push(format!("j < {}", branches.join(" & ")));
    let mut wide = spec(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    wide.max_steps = 2_000;
    wide
}

/// All of them, with their names.
pub(super) fn table() -> Vec<(&'static str, Spec)> {
    [sequences(), diamonds(), routes(), loops(), races(), items(), retries(), subgraphs(), timeouts()]
        .concat()
}

fn sequences() -> Vec<(&'static str, Spec)> {
    vec![
        ("one node", spec(&["a"])),
        ("one node at once", spec(&["a : takes=0"])),
        ("a sequence", spec(&["a", "b < a", "c < b"])),
        ("a sequence at once", spec(&["a : takes=0", "b < a : takes=0", "c < b : takes=0"])),
        (
            "nodes in another order than they run",
            spec(&["a", "c < b : writes=last,text", "b < a : writes=last,text"]),
        ),
        (
            "a sequence over all fields",
            spec(&[
                "a : writes=text,list,last,sum,most,least,shared,set,folded,mixed",
                "b < a : writes=text,list,last,sum,most,least,shared,set,folded,mixed",
                "c < b : writes=text,list,last,sum,most,least,own,set,folded,mixed",
            ]),
        ),
        ("a node that changes nothing", spec(&["a", "b < a : writes=", "c < b"])),
        ("a sequence that is too long", spec(&["a", "b < a", "c < b", ": max_steps=2"])),
    ]
}

fn diamonds() -> Vec<(&'static str, Spec)> {
    let both = "writes=text,list,sum,most,least,own,set,mixed";
    vec![
        ("a diamond", forked()),
        (
            "a diamond over all that joins",
            spec(&["s", &format!("b < s : {both}"), &format!("a < s : {both}"), "j < a & b"]),
        ),
        ("a diamond with a long side", spec(&["s", "a < s", "b < s", "b2 < b", "b3 < b2", "j < a & b3"])),
        (
            "diamonds within a diamond",
            spec(&[
                "s",
                "l < s",
                "r < s",
                "l1 < l",
                "l2 < l",
                "lj < l1 & l2",
                "r1 < r",
                "r2 < r",
                "rj < r1 & r2",
                "j < lj & rj",
            ]),
        ),
        (
            "a diamond after a diamond",
            spec(&["s", "a < s", "b < s", "m < a & b", "c < m", "d < m", "j < c & d"]),
        ),
        (
            "joins that share inputs",
            spec(&["s", "a < s", "b < s", "c < s", "x < a & b", "y < b & c", "j < x & y"]),
        ),
        (
            "branches that never meet",
            spec(&["s", "a < s : writes=text,list", "b < s : writes=text,list", "c < b"]),
        ),
        ("a clash at a join", spec(&["s", "a < s : writes=last", "b < s : writes=last", "j < a & b"])),
        ("a clash at the end", spec(&["s", "a < s : writes=folded", "b < s : writes=folded"])),
        ("a clash at a key", spec(&["s", "a < s : writes=shared", "b < s : writes=shared", "j < a & b"])),
        (
            "no clash with what lies behind",
            spec(&["s : writes=last", "a < s : writes=last", "b < s", "j < a & b : writes=last"]),
        ),
        ("many branches", wide(if chaos() { 1_000 } else { 100 })),
    ]
}

fn routes() -> Vec<(&'static str, Spec)> {
    vec![
        ("a choice", spec(&["s > a b : goes=b", "a", "b"])),
        ("a choice that joins like a diamond", spec(&["s > a b : goes=a", "a", "b", "j < a & b"])),
        ("a choice of several", spec(&["s > a b c : goes=c+a", "a", "b", "c", "j < a & b & c"])),
        ("a branch that ends", spec(&["s", "a < s > x end : goes=end", "b < s", "x < a", "j < x & b"])),
        ("a node that is named twice", spec(&["s > a end : goes=a+a", "a"])),
        (
            "a node that two branches reach",
            spec(&["s > a b : goes=b+a", "a > x : goes=x", "b > x : goes=x", "x"]),
        ),
        ("a route that is not declared", spec(&["s > a : goes=b", "a > b : goes=b", "b"])),
        ("an end that is not declared", spec(&["s > a : goes=end", "a"])),
        ("a route to nowhere", spec(&["s > a end : goes=", "a"])),
        (
            "two joins that wait for each other",
            spec(&[
                "s > a b end : goes=a+b",
                "a > x end : goes=x",
                "b > y end : goes=y",
                "x < a & y > y end : goes=end,y",
                "y < b & x > x end : goes=x,end",
            ]),
        ),
    ]
}

fn loops() -> Vec<(&'static str, Spec)> {
    vec![
        ("a loop", spec(&["a", "b < a > a end : goes=a,a,a,end"])),
        ("a node that goes to itself", spec(&["a > a end : goes=a,a,end"])),
        ("a loop without an end", spec(&["a", "b < a > a end : goes=a", ": max_steps=21"])),
        ("a diamond in a loop", spec(&["s", "a < s", "b < s", "j < a & b > s end : goes=s,s,end"])),
        ("a loop in a branch", spec(&["s", "a < s", "a2 < a > a j : goes=a,a,j", "b < s", "j < a2 & b"])),
        (
            "a join that is the start",
            spec(&["s < a & b > a b end : goes=a+b,b,end", "a > s : goes=s", "b > s : goes=s"]),
        ),
        (
            "rounds that overtake each other",
            spec(&["s > s a b end : goes=s+a+b,s+a,a+b", "a", "b", "j < a & b"]),
        ),
        ("loops within loops", spec(&["a", "b < a > b c : goes=b,c,b,c", "c > a end : goes=a,end"])),
    ]
}

fn races() -> Vec<(&'static str, Spec)> {
    vec![
        ("a race", spec(&["s", "a < s", "b < s", "j < a | b"])),
        (
            "a race over one field",
            spec(&["s", "a < s : writes=last", "b < s : writes=last", "j < a | b : writes=last"]),
        ),
        ("a race against oneself", spec(&["s", "a < s", "j < s | a"])),
        ("a loser with another way out", spec(&["s", "a < s", "b < s > j end : goes=end", "j < a | b"])),
        ("a race in a loop", spec(&["s", "a < s", "b < s", "j < a | b > s end : goes=s,s,end"])),
        ("a race before a join", spec(&["s", "a < s", "b < s", "c < s", "r < a | b", "j < r & c"])),
        ("a join in a race", spec(&["s", "a < s", "b < s", "c < s", "x < a & b", "j < x | c"])),
    ]
}

fn items() -> Vec<(&'static str, Spec)> {
    vec![
        ("a fan-out of 1,000", spec(&["s", "each < s : items=1000/16 writes=list,sum,own", "j < each"])),
        ("a fan-out of 1,000 that is gathered", spec(&["s", "each < s : items=1000/16 gathers", "j < each"])),
        ("items that clash", spec(&["each : items=3/2 writes=last"])),
        (
            "items that fail and are tried again",
            spec(&["each : items=20/4 fails=2 flaky attempts=3", "j < each"]),
        ),
        (
            "an item that fails for good",
            spec(&["s", "each < s : items=20/4 fails=1 flaky", "b < s", "j < each & b"]),
        ),
    ]
}

fn retries() -> Vec<(&'static str, Spec)> {
    vec![
        ("a retry", spec(&["a : fails=2 attempts=3", "b < a"])),
        (
            "retries inside parallel branches",
            spec(&["s", "a < s : fails=2 attempts=4", "b < s : fails=1 attempts=2", "j < a & b"]),
        ),
        ("a branch that fails for good", spec(&["s", "a < s : fails=9 attempts=2", "b < s", "j < a & b"])),
        ("a panic that is tried again", spec(&["a : panics=1 attempts=2 on=node_panicked"])),
    ]
}

fn subgraphs() -> Vec<(&'static str, Spec)> {
    vec![
        ("a subgraph in a loop", spec(&["s", "g < s > s end : goes=s,s,end"]).within("g", inner())),
        (
            "two subgraphs at once",
            spec(&["s", "g < s", "h < s", "j < g & h"]).within("g", inner()).within("h", forked()),
        ),
        (
            "a subgraph within a subgraph that is tried again",
            spec(&["g : attempts=2"]).within("g", spec(&["h", "x < h : fails=1 flaky"]).within("h", inner())),
        ),
        (
            "items that fail for good in a subgraph that is tried again",
            spec(&["g : attempts=3", "j < g"])
                .within("g", spec(&["each : items=3/2 fails=2 attempts=2 flaky", "x < each"])),
        ),
    ]
}

fn timeouts() -> Vec<(&'static str, Spec)> {
    let hangs = || spec(&["x", "y < x : hangs=1 timeout=20000000 attempts=2 on=node_timeout"]);
    let mut late = spec(&["x", "y < x : hangs=1"]);
    late.timeout = Some(30_000_000);
    vec![
        ("a timeout inside a subgraph", spec(&["s", "g < s", "b < s", "j < g & b"]).within("g", hangs())),
        (
            "a subgraph that takes too long",
            spec(&["s", "g < s : attempts=2", "b < s", "j < g & b"]).within("g", late),
        ),
        (
            "a run that takes too long",
            spec(&["s", "a < s", "b < s : hangs=1", "j < a & b", ": timeout=40000000"]),
        ),
    ]
}
