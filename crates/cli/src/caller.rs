//! For whom an attempt is judged: the user of `--as-uid`, the user behind sudo, or the caller.

use inuse_kernel::{Netns, caps};
use std::fs;

/// The user of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Effective uid.
    pub uid: u32,
    /// Whether privileged ports may be bound.
    pub net_bind_service: bool,
    /// What the reader should know about the choice.
    pub note: Option<String>,
}

/// The user for whom an attempt in that namespace is judged.
///
/// # Errors
///
/// A line that says what is wrong with the name that was given.
pub fn caller(as_uid: Option<&str>, netns: &Netns) -> Result<Caller, String> {
    if let Some(written) = as_uid {
        let named = named(written)?;
        let net_bind_service = named.net_bind_service && caps::root_counts(netns);
        return Ok(Caller { net_bind_service, ..named });
    }
    let euid = rustix::process::geteuid().as_raw();
    let sudo_uid = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok());
    Ok(match behind_sudo(euid, sudo_uid) {
        Some(uid) => Caller { uid, net_bind_service: false, note: Some(who_called_sudo(uid)) },
        None => Caller { uid: euid, net_bind_service: caps::may_bind_privileged(netns), note: None },
    })
}

/// The user of `--as-uid`; root may bind privileged ports, as it is where root's user namespace owns the
/// network namespace.
///
/// # Errors
///
/// A line that says what is wrong with the name.
pub fn named(written: &str) -> Result<Caller, String> {
    let uid = uid("--as-uid", written)?;
    Ok(Caller { uid, net_bind_service: uid == 0, note: None })
}

/// The user behind sudo: root's own question is about root, and SUDO_UID means nothing without root.
fn behind_sudo(euid: u32, sudo_uid: Option<u32>) -> Option<u32> {
    sudo_uid.filter(|&uid| euid == 0 && uid != 0)
}

fn who_called_sudo(uid: u32) -> String {
    let user = match inuse_kernel::process::users::name(uid) {
        Some(name) => format!("{} (uid {uid})", inuse_rules::address::escape(name.as_bytes())),
        None => format!("uid {uid}"),
    };
    format!("judged for {user}, who called sudo; '--as-uid root' judges for root")
}

/// The user that an option names, a number or a name of /etc/passwd.
///
/// # Errors
///
/// A line that says what is wrong with the name.
pub fn uid(option: &str, written: &str) -> Result<u32, String> {
    if let Ok(uid) = written.parse::<u32>() {
        return Ok(uid);
    }
    let users = inuse_kernel::process::users::parse(&fs::read("/etc/passwd").unwrap_or_default());
    users.iter().find(|(_, name)| name.as_str() == written).map(|(&uid, _)| uid).ok_or_else(|| {
        let shown: String = inuse_rules::address::escape(written.as_bytes()).chars().take(60).collect();
        format!("{option} '{shown}': there is no such user in /etc/passwd; write a name or a number")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_number_or_a_name() {
        assert_eq!(uid("--as-uid", "1000"), Ok(1000));
        assert_eq!(uid("--as-uid", "root"), Ok(0));
        let error = uid("--as-uid", "no such\u{1b} user").unwrap_err();
        assert!(error.contains("'no such\\u{1b} user'"), "{error}");
    }

    #[test]
    fn under_sudo_the_question_is_the_calling_users() {
        assert_eq!(behind_sudo(0, Some(1000)), Some(1000));
        assert_eq!(behind_sudo(0, Some(0)), None);
        assert_eq!(behind_sudo(0, None), None);
        assert_eq!(behind_sudo(1000, Some(1001)), None);
        assert!(who_called_sudo(u32::MAX).starts_with("judged for uid 4294967295, who called sudo"));
    }

    #[test]
    fn root_may_bind_privileged_ports_and_nobody_else_by_default() {
        assert!(named("0").unwrap().net_bind_service);
        assert!(!named("12345").unwrap().net_bind_service);
    }
}
