//! Names of users, from /etc/passwd by hand: it is read once, and a static binary needs no NSS for it.
//!
//! Not here: users from LDAP, systemd-homed and other services (passwd(5) is all there is).

use crate::procfs::decimal;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::OnceLock;

/// Bytes of /etc/passwd that are read: some hundred thousand users.
const MOST: u64 = 8 << 20;

/// The name of a user in /etc/passwd, which is read at the first call.
pub fn name(uid: u32) -> Option<String> {
    static USERS: OnceLock<BTreeMap<u32, String>> = OnceLock::new();
    let users = USERS.get_or_init(|| {
        let mut bytes = Vec::new();
        match std::fs::File::open("/etc/passwd").and_then(|file| file.take(MOST).read_to_end(&mut bytes)) {
            Ok(_) => parse(&bytes),
            Err(_) => BTreeMap::new(),
        }
    });
    users.get(&uid).cloned()
}

/// Names by uid; the first line of a uid counts, as for getpwuid(3).
pub fn parse(passwd: &[u8]) -> BTreeMap<u32, String> {
    let mut users = BTreeMap::new();
    for line in passwd.split(|&b| b == b'\n') {
        let mut fields = line.split(|&b| b == b':');
        let name = fields.next().and_then(|name| str::from_utf8(name).ok());
        let uid = fields.nth(1).and_then(decimal).and_then(|uid| u32::try_from(uid).ok());
        // A line of three fields is cut short, and `+` lines belong to NIS.
        if let (Some(name), Some(uid), Some(_)) = (name, uid, fields.next())
            && !name.is_empty()
            && !name.starts_with(['#', '+', '-'])
        {
            users.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    users
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_passwd() {
        let check = |text: &[u8], uid, expect: Option<&str>| {
            assert_eq!(parse(text).get(&uid).map(String::as_str), expect, "{}", text.escape_ascii());
        };
        check(b"root:x:0:0:root:/root:/bin/bash\ntom:x:1000:1000::/home/tom:/bin/sh\n", 1000, Some("tom"));
        check(b"root:x:0:0:root:/root:/bin/bash\ntoor:x:0:0::/root:/bin/sh\n", 0, Some("root"));
        check(b"# tom:x:1000:1000::/:/bin/sh\n", 1000, None);
        check(b"+nis:x:5:5:::\n", 5, None);
        check(b"tom:x:1000", 1000, None);
        check(b":x:1000:1000:::\n", 1000, None);
        check(b"tom:x:-1:1:::\n", 1, None);
        check(b"tom:x:99999999999:1:::\n", 1, None);
        check(b"\xff:x:7:7:::\n", 7, None);
        check(b"", 0, None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            parse(&bytes);
        }
    }
}
