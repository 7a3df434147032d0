//! Programs whose name says what they do to a port. Data, not rules: a wrong entry makes a wrong hint,
//! never a wrong verdict.

/// Programs that forward ports for a person's session: stopping them ends more than the port.
const FORWARDERS: &[&[u8]] = &[
    b"ssh",
    b"sshd",
    b"sshd-session",
    b"autossh",
    b"mosh-server",
    b"code",
    b"code-server",
    b"code-tunnel",
    b"code-insiders",
    b"cursor",
    b"codium",
    b"kubectl",
];

/// Programs that do not listen by themselves: one that holds a listener has inherited it.
const NEVER_LISTEN: &[&[u8]] = &[
    b"sh",
    b"bash",
    b"dash",
    b"zsh",
    b"fish",
    b"ash",
    b"busybox",
    b"ksh",
    b"mksh",
    b"sleep",
    b"tail",
    b"cat",
    b"less",
    b"more",
    b"tee",
    b"grep",
    b"sed",
    b"awk",
    b"gawk",
    b"mawk",
    b"xargs",
    b"find",
    b"watch",
    b"timeout",
    b"env",
    b"nohup",
    b"setsid",
    b"nice",
    b"sudo",
    b"su",
    b"doas",
    b"runuser",
    b"script",
    b"vim",
    b"vi",
    b"nano",
    b"emacs",
    b"man",
    b"make",
    b"ninja",
    b"cargo",
    b"git",
    b"tar",
    b"gzip",
    b"zstd",
    b"rsync",
    b"cp",
    b"mv",
    b"dd",
    b"yes",
    b"seq",
    b"cron",
    b"crond",
    b"at",
    b"atd",
    b"inotifywait",
    b"ffmpeg",
    b"convert",
    b"strace",
    b"ltrace",
    b"time",
    b"top",
    b"htop",
    b"pager",
    b"journalctl",
    b"dmesg",
];

/// Whether the program forwards ports for a session.
pub(super) fn forwards(program: &[u8]) -> bool {
    FORWARDERS.contains(&program)
}

/// Whether the program does not listen by itself.
pub(super) fn never_listens(program: &[u8]) -> bool {
    NEVER_LISTEN.contains(&program)
}
