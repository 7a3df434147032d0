//! Owners that this asker may not see, and the reason that is stated.

use crate::stage::{Cannot, Staged, role, stage, start};
use crate::{Ran, Test};
use std::process::Command;

pub(crate) const TESTS: &[Test] = &[
    ("unseen::another_users_process_is_hidden", another_users_process_is_hidden),
    ("unseen::ones_own_process_is_not", ones_own_process_is_not),
    ("unseen::hidepid_is_named", hidepid_is_named),
    ("unseen::another_pid_namespace", another_pid_namespace),
    ("unseen::ids_are_those_of_the_askers_namespace", ids_are_those_of_the_askers_namespace),
    ("unseen::a_socket_of_the_kernel", a_socket_of_the_kernel),
    ("unseen::another_users_options_need_a_right", another_users_options_need_a_right),
];

fn needs_root() -> Ran {
    match rustix::process::geteuid().is_root() {
        true => Ok(()),
        false => Err(Cannot("it takes root to become another user".to_owned())),
    }
}

/// Where /proc hides the processes of others, that is what is said of them.
fn needs_open_proc() -> Ran {
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("/proc is mounted");
    match mounts.lines().any(|line| line.contains(" /proc proc ") && line.contains("hidepid=")) {
        false => Ok(()),
        true => Err(Cannot("/proc is mounted with hidepid=".to_owned())),
    }
}

/// `PROC_PID_INIT_INO`.
pub(crate) fn in_the_first_pid_namespace() -> bool {
    let own = std::fs::read_link("/proc/self/ns/pid").expect("/proc is mounted");
    own.to_str() == Some("pid:[4026531836]")
}

#[track_caller]
fn check(answer: &Staged, owner: &str, blind: &[&str]) {
    let said = answer.said.text("blind");
    assert_eq!(answer.said.text("owner"), owner, "{said}");
    for part in blind {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
}

fn another_users_process_is_hidden() -> Ran {
    needs_root()?;
    needs_open_proc()?;
    let holder = stage(&["listen"])?;
    let answer = stage(&["nobody", "ask", holder.said.text("inode"), "0"])?;
    check(
        &answer,
        "hidden",
        &["the open files of ", "belongs to user root, who runs ", "run it as root (sudo)"],
    );
    Ok(())
}

fn ones_own_process_is_not() -> Ran {
    needs_root()?;
    let holder = stage(&["nobody", "listen"])?;
    let answer = stage(&["nobody", "ask", holder.said.text("inode"), "65534"])?;
    check(&answer, "held", &[""]);
    assert_eq!(answer.said.text("blind"), "", "nothing that matters stayed unseen");
    Ok(())
}

fn hidepid_is_named() -> Ran {
    needs_root()?;
    let holder = stage(&["listen"])?;
    let ask = role(&["nobody", "ask", holder.said.text("inode"), "0"]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount -t proc -o hidepid=2 proc /proc && exec \"$0\" \"$@\""]);
    command.arg(ask.get_program()).args(ask.get_args());
    check(&start(command)?, "hidden", &["/proc is mounted with hidepid=", "run it as root (sudo)"]);
    Ok(())
}

fn another_pid_namespace() -> Ran {
    let holder = stage(&["listen"])?;
    let answer = in_another_pid_namespace(&["ask", holder.said.text("inode"), "0"])?;
    check(&answer, "other-pid-namespace", &["processes outside this pid namespace", "--pid=host"]);
    Ok(())
}

/// Processes have other ids there; whoever asks must be told those.
fn ids_are_those_of_the_askers_namespace() -> Ran {
    let answer = in_another_pid_namespace(&["ask-own"])?;
    assert_eq!(answer.said.text("holders"), answer.said.text("own"));
    assert_ne!(answer.said.number::<u32>("own"), answer.pid());
    Ok(())
}

fn in_another_pid_namespace(words: &[&str]) -> Result<Staged, Cannot> {
    let ask = role(words);
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(ask.get_program())
        .args(ask.get_args());
    start(command)
}

/// A vxlan device receives on a UDP socket that only the kernel has.
fn a_socket_of_the_kernel() -> Ran {
    needs_root()?;
    let ask = role(&["ask"]);
    let script = "ip link add vx0 type vxlan id 1 dstport 4789 dev lo >&2 && ip link set lo up && ip link set vx0 up \
        && inode=$(awk '$2 ~ /:12B5$/ {print $10}' /proc/self/net/udp | head -n 1) && [ -n \"$inode\" ] \
        && exec \"$0\" \"$@\" \"$inode\" 0 || printf 'cannot=no vxlan device can be made here\\n'";
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", script]).arg(ask.get_program()).args(ask.get_args());
    let answer = start(command)?;
    match every_table_is_readable() {
        // From any other one nobody can tell it from a socket of a process outside.
        true if !in_the_first_pid_namespace() => {
            check(&answer, "other-pid-namespace", &["processes outside this pid namespace"]);
        }
        true => check(&answer, "kernel", &[]),
        false => check(&answer, "hidden", &["the open files of "]),
    }
    Ok(())
}

/// The same question by another road: even root may be refused (in a container, by a security policy).
fn every_table_is_readable() -> bool {
    let refused = |error: &std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    let processes = std::fs::read_dir("/proc").expect("/proc is mounted").flatten();
    !processes.map(|process| process.path().join("fd")).any(|table| match std::fs::read_dir(table) {
        Err(error) => refused(&error),
        Ok(mut entries) => entries.any(|entry| {
            entry.is_ok_and(|entry| std::fs::read_link(entry.path()).as_ref().is_err_and(refused))
        }),
    })
}

fn another_users_options_need_a_right() -> Ran {
    needs_root()?;
    needs_open_proc()?;
    let holder = stage(&["listen"])?;
    let (pid, fd, inode) = (holder.pid().to_string(), holder.said.text("fd"), holder.said.text("inode"));
    let answer = stage(&["nobody", "options", &pid, fd, inode])?;
    let expect = format!("reading them needs CAP_SYS_PTRACE, since process {pid} belongs to user root");
    assert_eq!(answer.said.text("read"), expect);
    let answer = stage(&["options", &pid, fd, inode])?;
    assert!(answer.said.text("read").contains("reuseaddr: true"), "{}", answer.said.text("read"));
    Ok(())
}
