//! What differs between kernels. The rest of the model is Linux 6.12 and later, which is also what
//! 5.10 to 6.0 do for a bind to an explicit port.

use crate::snapshot::Snapshot;

/// Behaviours of some kernels that the rule must know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Quirks {
    /// Linux 6.3 to 6.7: a mapped concrete address does not see an `AF_INET` 0.0.0.0.
    pub(super) mapped_misses_v4_any: bool,
    /// Linux 6.3 to 6.7: a mapped concrete address collides with a V6ONLY `::`.
    pub(super) mapped_meets_v6only_any: bool,
    /// Linux 6.1 to 6.7: a mapped concrete address does not see a mapped `::ffff:0.0.0.0`.
    pub(super) mapped_misses_mapped_any: bool,
    /// Before Linux 6.8: a bucket that an SO_REUSEPORT socket came to first remembers its user for every
    /// address (`FASTREUSEPORT_ANY`).
    pub(super) remembers_any_address: bool,
    /// Before Linux 6.17: an orphan, and what waits in an accept queue, counts as uid 0 (`sock_i_uid`).
    pub(super) orphans_are_root: bool,
    /// Set for kernels on whose behaviour distributions differ.
    pub(super) note: Option<&'static str>,
}

impl Quirks {
    pub(super) fn of(snapshot: &Snapshot) -> Quirks {
        let Some(kernel) = &snapshot.kernel else { return Quirks::default() };
        let version = (kernel.major, kernel.minor);
        let base = Quirks {
            remembers_any_address: version < (6, 8),
            orphans_are_root: version < (6, 17),
            ..Quirks::default()
        };
        match version {
            (6, 1..=2) => Quirks {
                mapped_misses_mapped_any: true,
                note: Some(
                    "Linux 6.1 and 6.2 first let 127.0.0.1 bind over a dual-stack [::] listener; later updates of the same version refuse it, and this verdict assumes such an update.",
                ),
                ..base
            },
            (6, 3..=7) => Quirks {
                mapped_misses_v4_any: true,
                mapped_meets_v6only_any: true,
                mapped_misses_mapped_any: true,
                note: Some(
                    "Linux 6.3 to 6.7 treat IPv4-mapped addresses beside wildcards differently from later kernels; a distribution may have backported the later behaviour.",
                ),
                ..base
            },
            (6, 8..=11) => Quirks {
                note: Some(
                    "Linux 6.8 to 6.11 may look at the first wildcard socket only when there are several; a distribution may have backported the fix.",
                ),
                ..base
            },
            _ => base,
        }
    }
}
