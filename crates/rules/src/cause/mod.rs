//! The human name of a situation: a stable code, one line of words, and the published precedence.
//!
//! Not here: deciding which one fits (`cause::name`) and what to do about it (`cure`).

use core::fmt;

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident $code:literal $tier:ident $title:literal;)*) => {
        /// Why an attempt is refused (or looks as if it should be), by its human name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Cause { $($(#[$doc])* #[doc = $title] $name,)* }

        impl Cause {
            /// Every cause, in order of precedence: of several that fit, the first is *the* cause and
            /// the others are listed under *also*.
            pub const ALL: &'static [Cause] = &[$(Cause::$name),*];

            /// The stable code in JSON, in the manual and in the lab.
            pub const fn code(self) -> &'static str {
                match self { $(Cause::$name => $code,)* }
            }

            /// What is going on, in a few words.
            pub const fn title(self) -> &'static str {
                match self { $(Cause::$name => $title,)* }
            }

            /// The group that gives the cause its place in the precedence.
            pub const fn tier(self) -> Tier {
                match self { $(Cause::$name => Tier::$tier,)* }
            }
        }
    };
}

/// Groups of causes, in order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// The address itself cannot be had, whoever else is there.
    Refusal,
    /// Something that brings it back holds it: stop that, not the process.
    Manager,
    /// The holder is in no process's table of open files.
    Unlisted,
    /// The holder is a process in an unusual state.
    Condition,
    /// The holder came by the socket in an unusual way.
    Descent,
    /// The addresses differ, and overlap.
    Overlap,
    /// An option decides.
    Option,
    /// The plain state of the socket says it all.
    State,
    /// Nothing stands in the way.
    Free,
    /// It could not be said.
    Unknown,
}

causes! {
    Privileged "privileged" Refusal "the port is reserved for privileged programs";
    NotLocal "not-local" Refusal "the address is on no interface of this machine";
    Denied "denied" Refusal "a security policy forbids this bind";
    EphemeralExhausted "ephemeral-exhausted" Refusal "no free port is left in the ephemeral range";

    SocketUnit "socket-unit" Manager "systemd holds the address for socket activation";
    ContainerProxyStale "container-proxy-stale" Manager "a container is gone and its port helper was left behind";
    ContainerProxy "container-proxy" Manager "a container's published port";
    Forwarded "forwarded" Manager "an ssh session or an IDE forwards this port";
    Respawned "respawned" Manager "it was freed, and a supervisor brought it back";

    InFlight "in-flight" Unlisted "the socket travels inside a unix socket's message and is in no process";
    IoUringFile "io-uring-file" Unlisted "the socket is a registered file of an io_uring";
    ThreadFdTable "thread-fd-table" Unlisted "only a thread has it open, or the main thread has exited";

    KernelSocket "kernel-socket" Unlisted "the kernel itself holds the address";
    TearingDown "tearing-down" Condition "the holder is closing this very moment";
    OwnerHidden "owner-hidden" Condition "somebody holds it whom you may not see";
    Suspended "suspended" Condition "the process that holds it is stopped";

    OwnProcess "own-process" Descent "the program stands in its own way";
    ListenerInherited "listener-inherited" Descent "the server is gone, and a child inherited its socket";
    WorkersOutlivedMaster "workers-outlived-master" Descent "the workers of a dead server still hold its socket";

    SelfConnect "self-connect" Overlap "a client connected to itself";
    EphemeralCollision "ephemeral-collision" Overlap "an outgoing connection was given this port";
    V6BlocksV4 "v6-blocks-v4" Overlap "an IPv6 connection also takes the IPv4 wildcard";
    DualStack "dual-stack" Overlap "an IPv6 wildcard socket also takes IPv4, or the reverse";
    WildcardVsSpecific "wildcard-vs-specific" Overlap "a wildcard and a specific address overlap";

    SecondListen "second-listen" Option "both may bind, only one may listen";
    ReuseportMismatch "reuseport-mismatch" Option "SO_REUSEPORT is missing on one side, or the users differ";

    UnixNotASocket "unix-not-a-socket" State "something that is no socket stands at the path";
    UnixStale "unix-stale" State "a socket file was left behind and nobody serves it";
    UnixLive "unix-live" State "somebody serves this unix address";
    Listener "listener" State "a live process listens there";
    Udp "udp" State "a datagram socket holds it";
    BoundNotListening "bound-not-listening" State "a process has bound the address and does not listen";
    CloseWait "close-wait" State "a process leaks connections that their peers have closed";
    EstablishedLeftover "established-leftover" State "connections live on after their listener closed";
    ClosingOrphan "closing-orphan" State "a closed connection is still delivering its last bytes";
    FinWait2 "fin-wait-2" State "the server is gone and its peer never closed";
    TimeWait "time-wait" State "the remains of a connection that this side closed first";
    NoSocket "no-socket" State "no socket is in sight, yet traffic is diverted or the bind refused";

    OtherNetns "other-netns" Free "somebody listens there in another network namespace, which is no conflict";
    SplitBrain "split-brain" Free "several servers answer on this port, by address";
    Free "free" Free "nothing stands in the way";
    Unknown "unknown" Unknown "not enough could be seen to say";
}

impl Cause {
    /// The cause with that code.
    pub fn from_code(code: &str) -> Option<Cause> {
        Cause::ALL.iter().copied().find(|cause| cause.code() == code)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_by_tier_and_each_neighbour_keeps_its_place() {
        for pair in Cause::ALL.windows(2) {
            assert!(pair[0] < pair[1], "{} stands before {}", pair[0], pair[1]);
            assert!(pair[0].tier() <= pair[1].tier(), "{} and {} are out of tier", pair[0], pair[1]);
            assert_ne!(pair[0].code(), pair[1].code());
        }
    }

    #[test]
    fn codes_read_back() {
        for &cause in Cause::ALL {
            assert_eq!(Cause::from_code(cause.code()), Some(cause));
        }
        assert_eq!(Cause::from_code("no such code"), None);
    }
}
