//! Conformance: cases staged on the real kernel in a private namespace, the kernel asked, the model
//! asked, and the two answers compared.
//!
//! The kernel's side never asks the model: an old socket that could not be made is simply not there, and
//! what the model is shown is what the kernel dumped. What a case may hold is in [`case`], where cases come
//! from in [`generate`], how they are staged in [`tcp`] and [`udp`] on a [`ground`], and the small
//! enumerations of other kinds in [`port0`], [`unix`] and [`privilege`]. What no model could know is in [`hidden`]. [`lines`] judges cases from
//! outside.

pub mod case;
pub mod compare;
pub mod generate;
pub mod ground;
pub mod hidden;
pub mod lines;
pub mod look;
pub mod play;
pub mod port0;
pub mod privilege;
pub mod random;
pub mod report;
pub mod route;
pub mod run;
pub mod shrink;
pub mod situation;
pub mod tally;
pub mod tcp;
pub mod udp;
pub mod unix;
