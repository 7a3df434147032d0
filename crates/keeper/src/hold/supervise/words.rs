//! Why a start failed, in sentences.

use crate::hold::exit::Exit;
use crate::hold::log::seconds;
use std::time::Duration;

pub(super) fn before_ready(generation: u32, exit: Exit) -> String {
    format!("generation {generation} ended before it was ready: {exit}")
}

pub(super) fn after_ready(generation: u32, exit: Exit, lived: Duration) -> String {
    format!("generation {generation} ended {} after it was ready: {exit}", seconds(lived))
}

pub(super) fn not_ready(generation: u32, waited: Duration) -> String {
    format!("generation {generation} was not ready within {}", seconds(waited))
}
