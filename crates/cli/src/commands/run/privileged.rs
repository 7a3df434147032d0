//! A port that only root may bind: with `-l` it is the supervisor that lacks the right, so that the cures of `inuse why`
//! for a program that binds for itself do not help.

use inuse_rules::Diagnosis;
use inuse_rules::cure::{Action, Command, Cure};
use rustix::process::{getegid, geteuid};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Where sudo(8) looks, as it is set up everywhere (`secure_path`).
const SECURE: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Puts what helps here in the place of a right for the program. `program`: the end of what was typed.
pub(super) fn mend(diagnosis: &mut Diagnosis, program: &[OsString]) {
    let is_for_programs = |cure: &Cure| cure.action == Action::Privilege;
    let Some(at) = diagnosis.cures.iter().position(is_for_programs) else { return };
    let own = diagnosis.cures.remove(at);
    if geteuid().is_root() {
        // Root without this right, as in some containers: more of root is no help.
        return;
    }
    let typed: Vec<OsString> = std::env::args_os().collect();
    let before = typed.get(1..typed.len().saturating_sub(program.len())).unwrap_or_default();
    let myself = std::env::current_exe().ok();
    let command = as_root(myself.as_deref(), before, program, geteuid().as_raw(), getegid().as_raw());
    let says = "Have root start 'inuse run', since that is what binds; setpriv(1) makes the program an ordinary \
                user's again. Then it is 'sudo inuse ctl'.";
    diagnosis.cures.insert(at, Cure { says: says.into(), commands: vec![command], ..own });
}

fn as_root(
    myself: Option<&Path>,
    before: &[OsString],
    program: &[OsString],
    user: u32,
    group: u32,
) -> Command {
    let is_found = |path: &Path| SECURE.iter().any(|folder| path.parent() == Some(Path::new(folder)));
    let inuse = myself
        .filter(|path| !is_found(path))
        .map_or(b"inuse".to_vec(), |path| path.as_os_str().as_bytes().to_vec());
    let before = before.strip_suffix(&["--".into()]).unwrap_or(before);
    let (user, group) = (format!("--reuid={user}"), format!("--regid={group}"));
    let mut words = vec![b"sudo".to_vec(), inuse];
    words.extend(before.iter().map(|word| word.as_bytes().to_vec()));
    words.extend(["--", "setpriv", &user, &group, "--init-groups"].map(|word| word.as_bytes().to_vec()));
    words.extend(program.iter().map(|word| word.as_bytes().to_vec()));
    Command(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_was_typed_as_root() {
        let check = |myself: &str, typed: &str, program: &str, expect: &str| {
            let words = |text: &str| -> Vec<OsString> { text.split(' ').map(OsString::from).collect() };
            let command = as_root(Some(Path::new(myself)), &words(typed), &words(program), 1000, 100);
            assert_eq!(command.to_string(), expect);
        };
        let user = "setpriv --reuid=1000 --regid=100 --init-groups";
        check(
            "/usr/bin/inuse",
            "run -l 80 --",
            "./server -v",
            &format!("sudo inuse run -l 80 -- {user} ./server -v"),
        );
        check(
            "/home/me/inuse",
            "run -l 80",
            "server",
            &format!("sudo /home/me/inuse run -l 80 -- {user} server"),
        );
    }
}
