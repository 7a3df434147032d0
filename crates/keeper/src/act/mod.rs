//! Freeing an address without hurting anybody.
//!
//! Four steps: look ([`Freer::look`]), plan ([`plan()`], a pure function of what was seen), run that very
//! plan ([`Freer::run`]), and look again: the new verdict is the proof.
//!
//! A process is signalled only through a [`evidence::Target`], which only the check of its identity can
//! make; nothing else in this crate can send a signal. A plan with one obstacle is not run at all: nobody is
//! stopped for an address that stays taken.
//!
//! [`options`] reads and sets the options of live sockets instead, with evidence of its own.

pub mod evidence;
pub mod options;
pub mod plan;
mod run;
pub mod surroundings;

pub use plan::{Obstacle, ObstacleKind, Permissions, Plan, Step, plan};
pub use run::{Deed, Ending, Outcome};
pub use surroundings::Surroundings;

use inuse_bind::{Asker, Report, WhyOptions};
use inuse_kernel::Error;
use inuse_rules::Attempt;

/// Somebody who can free addresses in one network namespace.
pub struct Freer {
    asker: Asker,
}

/// Everything that a plan rests on.
#[derive(Clone, Debug)]
pub struct Look {
    /// The facts, and what follows from them.
    pub report: Report,
    /// Who we are, and what managers say of the holders.
    pub around: Surroundings,
}

impl Look {
    /// The plan for what was seen.
    pub fn plan(&self, may: Permissions) -> Plan {
        plan(&self.report.snapshot, &self.report.diagnosis, &self.around, may)
    }
}

impl Freer {
    /// Opens the namespace and the conversation with the kernel.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or the kernel has no sock_diag.
    pub fn new(options: &WhyOptions) -> Result<Freer, Error> {
        // Each connection may go with another process.
        let options = WhyOptions { every_connection: true, ..options.clone() };
        Ok(Freer { asker: Asker::new(&options)? })
    }

    /// Who can be asked why, in the same namespace.
    pub fn asker(&mut self) -> &mut Asker {
        &mut self.asker
    }

    /// Looks at the address, and at everything that the plan needs to know. Changes nothing.
    pub fn look(&mut self, attempt: &Attempt) -> Look {
        let mut report = self.asker.why(attempt);
        let around = surroundings::look(self.asker.netns(), &mut report);
        Look { report, around }
    }
}
