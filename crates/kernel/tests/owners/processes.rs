//! Real processes as `process::read` sees them.

use crate::stage::{role, stage, start};
use crate::{Ran, Test};
use inuse_kernel::process;
use inuse_rules::Process;
use rustix::process::{Pid, Signal};
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = &[
    ("processes::a_hostile_name_stays_a_name", a_hostile_name_stays_a_name),
    ("processes::arguments_and_directory", arguments_and_directory),
    ("processes::a_stopped_process_says_so", a_stopped_process_says_so),
    ("processes::an_ended_process_is_nothing", an_ended_process_is_nothing),
];

fn read(pid: u32) -> Process {
    process::read(pid).expect("a living process")
}

fn a_hostile_name_stays_a_name() -> Ran {
    for (said, comm) in [
        ("a) R 1 2 (b", "a) R 1 2 (b"),
        ("two\\nlines", "two\nlines"),
        ("\\e[31mred", "\x1b[31mred"),
        ("\u{202e}gpj.exe", "\u{202e}gpj.exe"),
        (")))(((", ")))((("),
    ] {
        let staged = stage(&["named", said])?;
        let process = read(staged.pid());
        assert_eq!(process.comm, comm.as_bytes());
        assert_eq!((process.ppid, process.threads), (std::process::id(), 1), "{said}");
        assert_eq!(process.ancestry.first().map(|parent| parent.pid), Some(std::process::id()));
    }
    Ok(())
}

fn arguments_and_directory() -> Ran {
    let mut command = role(&["named", "tester"]);
    command.current_dir("/");
    let staged = start(command)?;
    let process = read(staged.pid());
    let arguments: Vec<&[u8]> = process.cmdline.iter().skip(1).map(Vec::as_slice).collect();
    assert_eq!(arguments, [&b"--role"[..], b"named", b"tester"]);
    assert_eq!(process.cwd.as_deref(), Some(&b"/"[..]));
    assert_eq!(process.exe, read(std::process::id()).exe);
    assert_eq!(process.netns, read(std::process::id()).netns);
    Ok(())
}

fn a_stopped_process_says_so() -> Ran {
    let staged = stage(&["idle"])?;
    let pid = Pid::from_raw(staged.pid() as i32).expect("a pid");
    rustix::process::kill_process(pid, Signal::STOP).expect("our own child");
    let start = Instant::now();
    while read(staged.pid()).state != b'T' {
        assert!(start.elapsed() < Duration::from_secs(10), "it did not stop");
        std::thread::sleep(Duration::from_millis(1));
    }
    rustix::process::kill_process(pid, Signal::CONT).expect("our own child");
    Ok(())
}

fn an_ended_process_is_nothing() -> Ran {
    let staged = stage(&["idle"])?;
    let (pid, started) = (staged.pid(), read(staged.pid()).start_ticks);
    drop(staged);
    assert!(process::start_ticks(pid).is_none_or(|again| again != started));
    Ok(())
}
