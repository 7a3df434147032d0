//! What a test that cannot run has to do: be ignored with the reason, or fail.
//!
//! The tests of `inuse-kernel`, on which this crate rests, include this file by its path.

/// Whether a test that cannot run is a failure: the environment's `INUSE_REQUIRE_ALL` is exactly `1`.
pub fn all_required() -> bool {
    std::env::var_os("INUSE_REQUIRE_ALL").is_some_and(|value| value == "1")
}
