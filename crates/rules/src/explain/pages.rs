//! Which page belongs to which word. The text is in pages/*.txt.

use crate::cause::Cause;
use crate::verdict::Errno;

/// A page of the manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The word by which it is asked for: a cause's code, an errno or its number.
    pub code: &'static str,
    /// What it is about, in a few words.
    pub title: &'static str,
    /// The page; ends with a line feed.
    pub text: &'static str,
}

/// The page for a cause's code, for an errno by name, or for its number on Linux, macOS or Windows.
pub fn page(topic: &str) -> Option<Page> {
    // The kernel's name for a state is written with another stroke: TIME_WAIT.
    let same = |a: u8, b: u8| a.eq_ignore_ascii_case(&b) || (a, b) == (b'-', b'_');
    let named =
        |code: &str| code.len() == topic.len() && code.bytes().zip(topic.bytes()).all(|(a, b)| same(a, b));
    if let Some(cause) = Cause::ALL.iter().find(|cause| named(cause.code())) {
        return Some(of_cause(*cause));
    }
    let topic = topic.strip_prefix('-').unwrap_or(topic);
    let is = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(topic));
    if is(&["EADDRINUSE", "98"]) {
        Some(errno(Errno::EADDRINUSE, include_str!("pages/EADDRINUSE.txt")))
    } else if is(&["48"]) {
        let title = "address already in use, on macOS and the BSDs";
        Some(Page { code: "48", title, text: include_str!("pages/48.txt") })
    } else if is(&["10048", "WSAEADDRINUSE"]) {
        let title = "address already in use, on Windows";
        Some(Page { code: "10048", title, text: include_str!("pages/10048.txt") })
    } else if is(&["EACCES", "13", "10013", "WSAEACCES", "EPERM", "1"]) {
        Some(errno(Errno::EACCES, include_str!("pages/EACCES.txt")))
    } else if is(&["EADDRNOTAVAIL", "99", "49", "10049", "WSAEADDRNOTAVAIL"]) {
        Some(errno(Errno::EADDRNOTAVAIL, include_str!("pages/EADDRNOTAVAIL.txt")))
    } else {
        None
    }
}

/// Every page on a cause, in order of precedence.
pub fn topics() -> impl Iterator<Item = Page> {
    Cause::ALL.iter().map(|&cause| of_cause(cause))
}

fn errno(errno: Errno, text: &'static str) -> Page {
    Page { code: errno.name(), title: errno.meaning(), text }
}

fn of_cause(cause: Cause) -> Page {
    Page { code: cause.code(), title: cause.title(), text: text(cause) }
}

const fn text(cause: Cause) -> &'static str {
    match cause {
        Cause::Privileged => include_str!("pages/privileged.txt"),
        Cause::NotLocal => include_str!("pages/not-local.txt"),
        Cause::Denied => include_str!("pages/denied.txt"),
        Cause::EphemeralExhausted => include_str!("pages/ephemeral-exhausted.txt"),
        Cause::SocketUnit => include_str!("pages/socket-unit.txt"),
        Cause::ContainerProxyStale => include_str!("pages/container-proxy-stale.txt"),
        Cause::ContainerProxy => include_str!("pages/container-proxy.txt"),
        Cause::Forwarded => include_str!("pages/forwarded.txt"),
        Cause::Respawned => include_str!("pages/respawned.txt"),
        Cause::InFlight => include_str!("pages/in-flight.txt"),
        Cause::IoUringFile => include_str!("pages/io-uring-file.txt"),
        Cause::ThreadFdTable => include_str!("pages/thread-fd-table.txt"),
        Cause::KernelSocket => include_str!("pages/kernel-socket.txt"),
        Cause::TearingDown => include_str!("pages/tearing-down.txt"),
        Cause::OwnerHidden => include_str!("pages/owner-hidden.txt"),
        Cause::Suspended => include_str!("pages/suspended.txt"),
        Cause::OwnProcess => include_str!("pages/own-process.txt"),
        Cause::ListenerInherited => include_str!("pages/listener-inherited.txt"),
        Cause::WorkersOutlivedMaster => include_str!("pages/workers-outlived-master.txt"),
        Cause::SelfConnect => include_str!("pages/self-connect.txt"),
        Cause::EphemeralCollision => include_str!("pages/ephemeral-collision.txt"),
        Cause::V6BlocksV4 => include_str!("pages/v6-blocks-v4.txt"),
        Cause::DualStack => include_str!("pages/dual-stack.txt"),
        Cause::WildcardVsSpecific => include_str!("pages/wildcard-vs-specific.txt"),
        Cause::SecondListen => include_str!("pages/second-listen.txt"),
        Cause::ReuseportMismatch => include_str!("pages/reuseport-mismatch.txt"),
        Cause::UnixNotASocket => include_str!("pages/unix-not-a-socket.txt"),
        Cause::UnixStale => include_str!("pages/unix-stale.txt"),
        Cause::UnixLive => include_str!("pages/unix-live.txt"),
        Cause::Listener => include_str!("pages/listener.txt"),
        Cause::Udp => include_str!("pages/udp.txt"),
        Cause::BoundNotListening => include_str!("pages/bound-not-listening.txt"),
        Cause::CloseWait => include_str!("pages/close-wait.txt"),
        Cause::EstablishedLeftover => include_str!("pages/established-leftover.txt"),
        Cause::ClosingOrphan => include_str!("pages/closing-orphan.txt"),
        Cause::FinWait2 => include_str!("pages/fin-wait-2.txt"),
        Cause::TimeWait => include_str!("pages/time-wait.txt"),
        Cause::NoSocket => include_str!("pages/no-socket.txt"),
        Cause::OtherNetns => include_str!("pages/other-netns.txt"),
        Cause::SplitBrain => include_str!("pages/split-brain.txt"),
        Cause::Free => include_str!("pages/free.txt"),
        Cause::Unknown => include_str!("pages/unknown.txt"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::MACOS;

    #[test]
    fn every_word_of_the_command_has_its_page() {
        let check = |topic: &str, expect: &str| {
            assert_eq!(page(topic).map(|page| page.code), Some(expect), "{topic}")
        };
        for cause in Cause::ALL {
            check(cause.code(), cause.code());
        }
        check("EADDRINUSE", "EADDRINUSE");
        check("eaddrinuse", "EADDRINUSE");
        check("98", "EADDRINUSE");
        check("-98", "EADDRINUSE");
        check("48", "48");
        check("10048", "10048");
        check("EACCES", "EACCES");
        check("13", "EACCES");
        check("EADDRNOTAVAIL", "EADDRNOTAVAIL");
        check("99", "EADDRNOTAVAIL");
        check("49", "EADDRNOTAVAIL");
        assert_eq!(page("nonsense"), None);
        assert_eq!(page(""), None);
    }

    #[test]
    fn a_page_is_short_and_narrow() {
        let errors = ["EADDRINUSE", "EACCES", "EADDRNOTAVAIL", "48", "10048"];
        for page in topics().chain(errors.iter().filter_map(|topic| page(topic))) {
            let lines = page.text.lines().count();
            assert!((10..=30).contains(&lines), "{} has {lines} lines", page.code);
            assert!(page.text.ends_with(".\n") && !page.text.ends_with("\n\n"), "{}", page.code);
            for line in page.text.lines() {
                assert!(line.len() <= 80 && line.trim_end() == line, "{}: {line}", page.code);
            }
        }
    }

    #[test]
    fn a_page_on_a_cause_says_what_to_do() {
        for page in topics() {
            assert!(page.text.contains("\nWhat to do\n"), "{}", page.code);
            assert!(page.text.contains("\nWhat is often said and not so\n"), "{}", page.code);
        }
    }

    #[test]
    fn the_page_for_macos_tells_its_known_holders() {
        let page = page("48").map_or("", |page| page.text);
        let words: alloc::vec::Vec<&str> = page.split_whitespace().collect();
        let page = words.join(" ");
        for holder in MACOS {
            assert!(page.contains(holder.says), "{}", holder.says);
        }
    }
}
