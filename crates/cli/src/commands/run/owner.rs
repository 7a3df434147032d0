//! `--socket-owner USER[:GROUP]`: from names to numbers.

/// A user and a group, as far as they are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) user: Option<u32>,
    pub(super) group: Option<u32>,
}

/// Reads what was written.
pub(super) fn parse(written: &str) -> Result<Owner, String> {
    let (user, group) = written.split_once(':').unwrap_or((written, ""));
    let user = number(user, "/etc/passwd", "user")?;
    let group = number(group, "/etc/group", "group")?;
    match (user, group) {
        (None, None) => Err("--socket-owner: write USER, USER:GROUP or :GROUP".into()),
        (user, group) => Ok(Owner { user, group }),
    }
}

fn number(name: &str, table: &str, what: &str) -> Result<Option<u32>, String> {
    if name.is_empty() {
        return Ok(None);
    }
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    let text = std::fs::read_to_string(table).unwrap_or_default();
    match look_up(&text, name) {
        Some(number) => Ok(Some(number)),
        None => Err(format!(
            "--socket-owner: there is no {what} '{}' here",
            inuse_rules::address::escape(name.as_bytes())
        )),
    }
}

/// The number in the third field of the line that starts with this name: passwd(5), group(5).
fn look_up(table: &str, name: &str) -> Option<u32> {
    let mut lines = table.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners() {
        let check = |written: &str, expect: Option<(Option<u32>, Option<u32>)>| {
            let parsed = parse(written).ok().map(|owner| (owner.user, owner.group));
            assert_eq!(parsed, expect, "{written:?}");
        };
        check("root", Some((Some(0), None)));
        check("7:root", Some((Some(7), Some(0))));
        check(":0", Some((None, Some(0))));
        check("", None);
        check(":", None);
        check("no-such-user-here", None);
        check("root:no-such-group-here", None);
        assert_eq!(look_up("a:x:7:0::/:\nbroken\nb:x:-1", "a"), Some(7));
        assert_eq!(look_up("b:x:-1\nb", "b"), None);
    }
}
