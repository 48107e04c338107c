//! The floor of a start: a static program that does nothing.
fn main() {}
