//! Words: which socket, and what an error of setsockopt(2) or getsockopt(2) means for it.

use inuse_kernel::options::live::Traits;
use inuse_kernel::options::spec::Spec;
use inuse_rules::State;
use rustix::io::Errno;

/// The errors that the manual pages name, with a sentence part of their own. `{option}` and `{socket}` stand for
/// both.
pub const ERRNOS: &[(Errno, &str, &str)] = &[
    (Errno::BADF, "EBADF", "{socket} is not open any more, so {option} has nothing to be set on"),
    (Errno::DOM, "EDOM", "the time for {option} of {socket} has a part of a second that is none"),
    (Errno::FAULT, "EFAULT", "the value of {option} for {socket} lies where the kernel cannot read it"),
    (Errno::INVAL, "EINVAL", "{socket} does not take that value of {option}, or not in its present state"),
    (Errno::ISCONN, "EISCONN", "{socket} is connected, and {option} can be set only before that"),
    (Errno::NOTCONN, "ENOTCONN", "{socket} is not connected, and {option} is about a connection"),
    (
        Errno::NOPROTOOPT,
        "ENOPROTOOPT",
        "{socket} has no {option}: this kernel, or this protocol, does not know it",
    ),
    (
        Errno::OPNOTSUPP,
        "EOPNOTSUPP",
        "{option} does not go with {socket}: its family or its state has no use for it",
    ),
    (Errno::NOTSOCK, "ENOTSOCK", "the descriptor is no socket, so it has no {option}"),
    (
        Errno::NOMEM,
        "ENOMEM",
        "the kernel has no memory for {option} of {socket}, or no cgroup that would pay for it",
    ),
    (
        Errno::NOBUFS,
        "ENOBUFS",
        "the kernel's limit for {option} is reached on {socket} (net.core.optmem_max and its like)",
    ),
    (
        Errno::NOSR,
        "ENOSR",
        "no STREAMS resources are left for {option} of {socket}, as other systems say; Linux never gives this error",
    ),
    (
        Errno::PERM,
        "EPERM",
        "you may not set {option} to that on {socket}: it needs a capability in the user namespace of its network (CAP_NET_ADMIN, or CAP_NET_RAW)",
    ),
    (Errno::ACCESS, "EACCES", "{option} of {socket} needs CAP_NET_ADMIN"),
    (Errno::NODEV, "ENODEV", "there is no network interface of that name or number for {option} of {socket}"),
    (Errno::NOENT, "ENOENT", "the kernel does not have what {option} of {socket} names"),
    (Errno::BUSY, "EBUSY", "{option} of {socket} is in use and cannot change now"),
    (Errno::ADDRINUSE, "EADDRINUSE", "with {option} set to that, {socket} would clash with another socket"),
    (Errno::RANGE, "ERANGE", "that value of {option} is beyond the kernel's bounds for {socket}"),
];

/// What an error means, as one line without a full stop.
pub fn sentence(errno: Errno, spec: &Spec, traits: &Traits) -> String {
    let socket = place(traits);
    match ERRNOS.iter().find(|(known, ..)| *known == errno) {
        Some((_, name, says)) => {
            format!("{} ({name})", says.replace("{option}", spec.name).replace("{socket}", &socket))
        }
        None => format!("{} of {socket}: {errno}", spec.name),
    }
}

/// Which socket, in few words: `tcp/127.0.0.1:8080 (LISTEN)`, `tcp/127.0.0.1:8080 to 127.0.0.1:40000`.
pub fn place(traits: &Traits) -> String {
    let address = match &traits.address {
        Some(address) => address.to_string(),
        None => format!("{} socket", traits.kind.name()),
    };
    match (traits.remote, traits.state) {
        (Some(remote), _) => format!("{address} to {remote}"),
        (None, Some(state @ (State::Listen | State::Bound))) => format!("{address} ({})", state.name()),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inuse_kernel::options::live::SocketKind;
    use inuse_kernel::options::table;
    use inuse_rules::Address;

    #[test]
    fn every_error_of_the_pages_has_its_sentence() {
        let traits = Traits {
            kind: SocketKind { family: 2, kind: 1, protocol: 6 },
            inode: 1,
            cookie: 1,
            netns: None,
            address: Some(Address::tcp("127.0.0.1:8080".parse().unwrap())),
            remote: None,
            state: Some(State::Listen),
        };
        let spec = table::named("SO_MARK").unwrap();
        for name in [
            "EBADF",
            "EDOM",
            "EFAULT",
            "EINVAL",
            "EISCONN",
            "ENOPROTOOPT",
            "ENOTSOCK",
            "ENOMEM",
            "ENOBUFS",
            "ENOSR",
            "EPERM",
            "EACCES",
        ] {
            let (errno, ..) = ERRNOS.iter().find(|(_, known, _)| *known == name).expect(name);
            let says = sentence(*errno, spec, &traits);
            assert!(says.contains(name) && says.contains("SO_MARK"), "{says}");
            assert!(says.contains("tcp/127.0.0.1:8080 (LISTEN)") || name == "ENOTSOCK", "{says}");
            assert!(!says.contains(['{', '\n']) && !says.ends_with('.'), "{says}");
        }
        assert!(sentence(Errno::NOSR, spec, &traits).contains("Linux never"));
        assert!(sentence(Errno::XFULL, spec, &traits).contains("SO_MARK"));
    }
}
