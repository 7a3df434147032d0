//! Whatever /proc holds, its parsers neither panic nor run away: each gets the same bytes.
#![no_main]

use inuse_kernel::process::{cgroup, fdinfo, mounts, publishes, stat, status, syscall, users};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(stat) = stat::Stat::parse(bytes) {
        let _ = (stat.tty(), stat.kernel_thread(), stat.main_thread_ended());
    }
    status::Status::parse(bytes);
    users::parse(bytes);
    mounts::hidden_processes(bytes, |gid| gid % 2 == 0);
    syscall::sleeping_in(bytes);

    fdinfo::close_on_exec(bytes);
    fdinfo::descriptors_in_flight(bytes);
    let _ = fdinfo::registered_sockets(bytes).map(Iterator::count);

    if let Some(path) = cgroup::path(bytes) {
        let _ = (cgroup::unit(path), cgroup::container(path));
    }
    let _ = (cgroup::unit(bytes), cgroup::container(bytes));

    let words: Vec<Vec<u8>> = bytes.split(|&b| b == 0).map(<[u8]>::to_vec).collect();
    publishes::read(b"docker-proxy", None, &words);
});
