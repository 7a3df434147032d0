//! Names and groups of users, from /etc/passwd and /etc/group by hand: a static binary needs no NSS for it.
//!
//! Not here: users from LDAP, systemd-homed and other services (passwd(5) and group(5) are all there is).

use crate::procfs::decimal;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::OnceLock;

/// Bytes of each file that are read: some hundred thousand users.
const MOST: u64 = 8 << 20;

/// The name of a user in /etc/passwd, which is read at the first call.
pub fn name(uid: u32) -> Option<String> {
    static USERS: OnceLock<BTreeMap<u32, String>> = OnceLock::new();
    USERS.get_or_init(|| parse(&read("/etc/passwd"))).get(&uid).cloned()
}

/// The groups of a user, its own first, as initgroups(3) has them; `None` where /etc/passwd does not name it.
pub fn groups(uid: u32) -> Option<Vec<u32>> {
    groups_of(&read("/etc/passwd"), &read("/etc/group"), uid)
}

/// What cannot be read names nobody.
fn read(path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    match std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut bytes)) {
        Ok(_) => bytes,
        Err(_) => Vec::new(),
    }
}

fn groups_of(passwd: &[u8], group: &[u8], uid: u32) -> Option<Vec<u32>> {
    let number = |field: Option<&[u8]>| field.and_then(decimal).and_then(|id| u32::try_from(id).ok());
    let (name, own) = lines(passwd).find_map(|line| {
        let mut fields = line.split(|&b| b == b':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (number(fields.nth(1)) == Some(uid)).then_some((name, number(fields.next())?))
    })?;
    let others = lines(group).filter_map(|line| {
        let mut fields = line.split(|&b| b == b':').skip(2);
        let gid = number(fields.next())?;
        fields.next()?.split(|&b| b == b',').any(|member| member == name).then_some(gid)
    });
    Some(std::iter::once(own).chain(others).collect())
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|&b| b == b'\n')
}

/// Names by uid; the first line of a uid counts, as for getpwuid(3).
pub fn parse(passwd: &[u8]) -> BTreeMap<u32, String> {
    let mut users = BTreeMap::new();
    for line in lines(passwd) {
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

    #[test]
    fn groups_by_hand() {
        let passwd = b"root:x:0:0::/:/bin/sh\ntom:x:1000:100::/:/bin/sh\nbroken:x:7\n";
        let group = b"users:x:100:\nwww:x:33:ann,tom\nadm:x:4:ann\n\xff:x\nwheel:x:10:tomas\n";
        let check = |uid, expect: Option<&[u32]>| {
            assert_eq!(groups_of(passwd, group, uid).as_deref(), expect, "{uid}");
        };
        check(1000, Some(&[100, 33]));
        check(0, Some(&[0]));
        check(7, None);
        check(5, None);
        assert_eq!(groups_of(b"", b"", 0), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            parse(&bytes);
            groups_of(&bytes, &bytes, 0);
        }
    }
}
