//! The running kernel's version, as far as a rule depends on it.
//!
//! Only major and minor count: distributions keep their own third number, and backport besides.

use inuse_rules::snapshot::KernelVersion;

/// The running kernel's version (uname(2)); `None` when its release does not start with two numbers.
pub fn kernel_version() -> Option<KernelVersion> {
    parse(&rustix::system::uname().release().to_string_lossy())
}

/// Reads a release as `uname -r` prints it: `6.18.44-1-amd64`, `5.15-rc3`.
pub fn parse(release: &str) -> Option<KernelVersion> {
    let (major, rest) = number(release)?;
    let (minor, _) = number(rest.strip_prefix('.')?)?;
    Some(KernelVersion { major, minor, release: release.to_owned() })
}

/// The decimal number at the start of `text`, and what follows it.
fn number(text: &str) -> Option<(u16, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        let check = |release: &str, expect: Option<(u16, u16)>| {
            assert_eq!(parse(release).map(|v| (v.major, v.minor)), expect, "{release}");
        };
        check("6.18.44-fc", Some((6, 18)));
        check("6.1.0-18-amd64", Some((6, 1)));
        check("5.15-rc3", Some((5, 15)));
        check("4.18.0-553.el8_10.x86_64", Some((4, 18)));
        check("6", None);
        check("6.", None);
        check(".1", None);
        check("six.one", None);
        check("99999.1", None);
        check("", None);
    }

    #[test]
    fn the_running_kernel_has_one() {
        assert!(kernel_version().is_some_and(|v| v.major >= 4));
    }
}
