//! Messages and forms of the macros; filled by the macros themselves.
fn main() {}
