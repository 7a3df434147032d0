//! The verbs that look only look. Their system calls are watched: no bind, connect, kill or destroy but those of
//! netlink and of the name service, and no file is opened to be written.

use libtest_mimic::{Arguments, Failed, Trial};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Everything by which a program could disturb another or change the machine.
const WATCHED: &str = "bind,listen,connect,accept,accept4,kill,tkill,tgkill,pidfd_send_signal,rt_sigqueueinfo,\
ptrace,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,chmod,fchmod,fchmodat,truncate,ftruncate,shutdown,\
sendto,sendmsg,setsockopt,mount,umount2,reboot,process_vm_writev,open,openat,openat2,creat,link,linkat,symlink,\
symlinkat,mknod,mknodat,rmdir,utimensat,fallocate,fchown,chown,fchownat,setxattr,fsetxattr";

/// `SOCK_DESTROY` of linux/sock_diag.h, as strace prints a netlink message type that it has no word for.
const DESTROY: [&str; 2] = ["SOCK_DESTROY", "nlmsg_type=0x15"];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let missing = missing_strace();
    let required = inuse_lab::all_required();
    let trial = |name: &str, test: fn() -> Result<(), Failed>| match &missing {
        None => Trial::test(name, test),
        Some(reason) if required => {
            let reason = reason.clone();
            Trial::test(name, move || Err(Failed::from(reason)))
        }
        Some(reason) => Trial::test(format!("{name} (ignored: {reason})"), || Ok(())).with_ignored_flag(true),
    };
    let trials = vec![
        trial("why_of_a_listener", why_of_a_listener),
        trial("why_of_a_name_and_a_unix_path", why_of_a_name_and_a_unix_path),
        trial("why_of_remains_and_of_another_namespace", why_of_remains_and_of_another_namespace),
        trial("next", next),
        trial("wait", wait),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Why the calls cannot be watched here, if they cannot.
fn missing_strace() -> Option<String> {
    let probe =
        Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    match probe {
        Ok(status) if status.success() => None,
        Ok(_) => Some("strace may not trace here".into()),
        Err(error) => Some(format!("strace cannot be started: {error}")),
    }
}

/// The watched calls of a run, one a line.
fn calls(arguments: &[&str]) -> Result<Vec<String>, Failed> {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let log = std::env::temp_dir().join(format!("inuse-strace-{}-{run}", std::process::id()));
    let ran = Command::new("strace")
        .args(["-f", "-qq", "-v", "-yy", "-e", &format!("trace={WATCHED}"), "-e", "signal=none", "-o"])
        .arg(&log)
        .arg(env!("CARGO_BIN_EXE_inuse"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()?;
    let text = std::fs::read_to_string(&log)?;
    std::fs::remove_file(&log)?;
    if ran.stdout.is_empty() {
        return Err(format!("no answer: {}", String::from_utf8_lossy(&ran.stderr)).into());
    }
    // Where threads take turns a call is two lines, and the first one has the arguments.
    Ok(text.lines().filter(|line| !line.contains(" resumed>")).map(String::from).collect())
}

/// Refuses every call that is not part of asking the kernel or the name service.
fn only_looks(arguments: &[&str]) -> Result<(), Failed> {
    for call in calls(arguments)? {
        let netlink = call.contains("<NETLINK:") || call.contains("AF_NETLINK");
        let name_service =
            call.contains("/nscd/") || call.contains("/run/systemd/") || call.contains("htons(53)");
        let asks = |name: &str| call.contains(&format!(" {name}("));
        let harmless = match () {
            () if DESTROY.iter().any(|word| call.contains(word)) => false,
            // A bind of a netlink socket gives it a number. A datagram socket that connects sends nothing: the C
            // library's resolver asks so for the route to each address of a name.
            () if asks("bind") || asks("sendto") || asks("sendmsg") => netlink || name_service,
            () if asks("connect") => netlink || name_service || call.contains("<UDP"),
            // Opened, and not to be written.
            () if asks("open") || asks("openat") || asks("openat2") => {
                !["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| call.contains(flag))
            }
            // Options of our own sockets: netlink's, and the buffers of the resolver.
            () if asks("setsockopt") => !call.contains("SO_REUSE"),
            () => false,
        };
        if !harmless {
            return Err(format!("inuse {} made this call: {call}", arguments.join(" ")).into());
        }
    }
    Ok(())
}

fn why_of_a_listener() -> Result<(), Failed> {
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = tcp.local_addr()?.port().to_string();
    only_looks(&["why", &port])?;
    only_looks(&["why", "-v", "--reuseaddr", &port])?;
    only_looks(&[&format!("udp/{}", udp.local_addr()?)])
}

fn why_of_a_name_and_a_unix_path() -> Result<(), Failed> {
    only_looks(&["why", "localhost:1"])?;
    only_looks(&["why", "/tmp/no-such.sock", "@no-such-name"])
}

/// A connection in TIME_WAIT, whose options only the kernel's memory shows; a namespace that is entered; a plan.
fn why_of_remains_and_of_another_namespace() -> Result<(), Failed> {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let at = server.local_addr()?;
    let client = TcpStream::connect(at)?;
    drop(server.accept()?);
    drop((server, client));
    let port = at.port().to_string();
    only_looks(&["why", "--reuseaddr", &port])?;
    only_looks(&["why", "--as-uid", "1", &at.to_string(), "/tmp/no-such.sock"])?;
    only_looks(&["free", "--dry-run", &port])?;
    only_looks(&["why", "--netns", &std::process::id().to_string(), &port])
}

fn next() -> Result<(), Failed> {
    only_looks(&["next", "127.0.0.1:20000"])
}

fn wait() -> Result<(), Failed> {
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = tcp.local_addr()?.port().to_string();
    only_looks(&["wait", "--json", "--timeout", "100ms", &port])?;
    only_looks(&[
        "wait",
        "--json",
        "--timeout",
        "100ms",
        "--reuseaddr",
        &port,
        "udp/1",
        "/etc/passwd",
        "@no-such-name",
    ])?;
    only_looks(&["wait", "--json", "--timeout", "100ms", "--listening", "127.0.0.1:1"])
}
