//! What is known of one socket option, and the words in which the table of all of them is written.
//!
//! Not here: the rows (`table`), the types of values (`form`), values (`value`), and asking a socket (`live`). Numbers and levels are those of
//! asm-generic/socket.h, linux/in.h, in6.h, tcp.h and udp.h.

use super::form::Form;
use super::value::Value;

/// The level of setsockopt(2) that an option belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// `SOL_SOCKET`: every socket.
    Socket,
    /// `SOL_IP`: IPv4, and what IPv6 sockets share with it.
    Ip,
    /// `SOL_IPV6`.
    Ipv6,
    /// `SOL_TCP`.
    Tcp,
    /// `SOL_UDP`.
    Udp,
}

impl Level {
    /// Every level, in the order in which options are told.
    pub const ALL: [Level; 5] = [Level::Socket, Level::Ip, Level::Ipv6, Level::Tcp, Level::Udp];

    /// The kernel's constant.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Socket => "SOL_SOCKET",
            Level::Ip => "SOL_IP",
            Level::Ipv6 => "SOL_IPV6",
            Level::Tcp => "SOL_TCP",
            Level::Udp => "SOL_UDP",
        }
    }

    /// Its number.
    pub const fn number(self) -> i32 {
        match self {
            Level::Socket => libc::SOL_SOCKET,
            Level::Ip => libc::SOL_IP,
            Level::Ipv6 => libc::SOL_IPV6,
            Level::Tcp => libc::SOL_TCP,
            Level::Udp => libc::SOL_UDP,
        }
    }
}

/// Which sockets have an option, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sockets(u8);

impl Sockets {
    /// TCP.
    pub const TCP: Sockets = Sockets(1);
    /// UDP.
    pub const UDP: Sockets = Sockets(2);
    /// Unix sockets.
    pub const UNIX: Sockets = Sockets(4);
    /// All others: netlink, packet, raw, vsock …
    pub const OTHER: Sockets = Sockets(8);
    /// TCP and UDP.
    pub const INET: Sockets = Sockets(3);
    /// Every socket.
    pub const ALL: Sockets = Sockets(15);

    /// Whether all of those are among these.
    pub const fn has(self, those: Sockets) -> bool {
        self.0 & those.0 == those.0
    }

    /// Both.
    pub const fn and(self, more: Sockets) -> Sockets {
        Sockets(self.0 | more.0)
    }

    /// "tcp and udp", "every socket".
    pub fn says(self) -> String {
        if self == Sockets::ALL {
            return "every socket".to_owned();
        }
        let all = [
            (Sockets::TCP, "tcp"),
            (Sockets::UDP, "udp"),
            (Sockets::UNIX, "unix"),
            (Sockets::OTHER, "other"),
        ];
        let names: Vec<&str> =
            all.into_iter().filter(|(one, _)| self.has(*one)).map(|(_, name)| name).collect();
        format!("{} sockets", names.join(" and "))
    }
}

/// What its value is before anybody sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// That of a new socket of the same kind: another value was set.
    Fresh,
    /// That of a new socket, but the kernel itself moves it: another value says nothing of the program.
    Moved,
    /// `SO_BUF_LOCK` has this bit where a program has set it.
    Locked(u32),
    /// It is no setting: the kernel reports it.
    Fact,
}

/// Whether it is set here.
#[derive(Clone, Copy, Debug)]
pub enum Settable {
    /// Yes.
    Freely,
    /// Only by who says so (`--force`): what could break.
    Forced(&'static str),
    /// Such values only by who says so.
    ForcedWhere(fn(&Value) -> bool, &'static str),
    /// No, for this reason.
    Never(&'static str),
}

/// Whether it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readable {
    /// Yes: asking changes nothing.
    Yes,
    /// The kernel has no getsockopt(2) for it.
    No,
    /// Asking takes something away from the program, so it is never asked: what.
    Disturbs(&'static str),
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Its name.
    pub name: &'static str,
    /// Other names of the same number.
    pub aliases: &'static [&'static str],
    /// Its level.
    pub level: Level,
    /// Its number.
    pub number: i32,
    /// The type of its value.
    pub form: Form,
    /// What a value that was never set comes from.
    pub preset: Preset,
    /// That value in words, or the sysctl that it is taken from.
    pub default: &'static str,
    /// The first Linux with it.
    pub since: &'static str,
    /// Whether it is read.
    pub readable: Readable,
    /// Whether it is set.
    pub settable: Settable,
    /// The sockets that have it.
    pub on: Sockets,
    /// What it does, one sentence.
    pub says: &'static str,
}

/// The words of the table. Each gives the same option with one thing said about it.
impl Spec {
    pub(super) const fn new(level: Level, number: i32, name: &'static str, form: Form) -> Spec {
        Spec {
            name,
            aliases: &[],
            level,
            number,
            form,
            preset: Preset::Fresh,
            default: "off",
            since: "2.4",
            readable: Readable::Yes,
            settable: Settable::Freely,
            on: match level {
                Level::Socket => Sockets::ALL,
                Level::Ip | Level::Ipv6 => Sockets::INET,
                Level::Tcp => Sockets::TCP,
                Level::Udp => Sockets::UDP,
            },
            says: "",
        }
    }

    pub(super) const fn alias(self, aliases: &'static [&'static str]) -> Spec {
        Spec { aliases, ..self }
    }

    pub(super) const fn default(self, default: &'static str) -> Spec {
        Spec { default, ..self }
    }

    pub(super) const fn since(self, since: &'static str) -> Spec {
        Spec { since, ..self }
    }

    pub(super) const fn on(self, on: Sockets) -> Spec {
        Spec { on, ..self }
    }

    pub(super) const fn says(self, says: &'static str) -> Spec {
        Spec { says, ..self }
    }

    /// The kernel itself moves it.
    pub(super) const fn moved(self) -> Spec {
        Spec { preset: Preset::Moved, ..self }
    }

    pub(super) const fn locked(self, bit: u32) -> Spec {
        Spec { preset: Preset::Locked(bit), ..self }
    }

    /// The kernel reports it, and nobody sets it.
    pub(super) const fn fact(self) -> Spec {
        Spec {
            preset: Preset::Fact,
            default: "none: the kernel reports it",
            settable: Settable::Never("the kernel reports it, and nobody can set it"),
            ..self
        }
    }

    pub(super) const fn forced(self, breaks: &'static str) -> Spec {
        Spec { settable: Settable::Forced(breaks), ..self }
    }

    pub(super) const fn forced_where(self, which: fn(&Value) -> bool, breaks: &'static str) -> Spec {
        Spec { settable: Settable::ForcedWhere(which, breaks), ..self }
    }

    pub(super) const fn never(self, why: &'static str) -> Spec {
        Spec { settable: Settable::Never(why), ..self }
    }

    /// There is no getsockopt(2) for it.
    pub(super) const fn unreadable(self) -> Spec {
        Spec { readable: Readable::No, preset: Preset::Fact, default: "none: it cannot be read", ..self }
    }

    /// Reading it takes something away.
    pub(super) const fn disturbs(self, what: &'static str) -> Spec {
        Spec { readable: Readable::Disturbs(what), ..self }
    }

    /// Whether a name is this option's, in any case of letters.
    pub fn is_named(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
            || self.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    }

    /// What could break if it is set to this value; `None` where nothing is to be feared.
    pub fn breaks(&self, value: &Value) -> Option<&'static str> {
        match self.settable {
            Settable::Forced(breaks) => Some(breaks),
            Settable::ForcedWhere(which, breaks) => which(value).then_some(breaks),
            Settable::Freely | Settable::Never(_) => None,
        }
    }

    /// Whether it can be set at all.
    pub fn is_settable(&self) -> bool {
        !matches!(self.settable, Settable::Never(_))
    }
}
