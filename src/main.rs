//! The `ferroflow` program: hands its arguments to [`ferroflow`].
fn main() {}
