//! The sockets that we were given ourselves, by systemd or by another supervisor: they go on to the program
//! first, under their names.

use super::held::Held;
use super::keep::address_of;
use super::listen_fds::{self, FIRST};
use super::sys::descriptors;

/// Takes them over. To be called once, before anything else opens descriptors.
pub fn given() -> Vec<Held> {
    let variable = |name| std::env::var(name).ok();
    let [fds, pid, names, _] = listen_fds::VARIABLES.map(variable);
    let names = listen_fds::given(fds.as_deref(), pid.as_deref(), names.as_deref(), std::process::id());
    let mut held = Vec::new();
    for (number, name) in (FIRST..).zip(names) {
        // Copied above what a program is given, and closed on exec: the copy for the program is made later.
        let Ok(socket) = descriptors::adopt(number) else { break };
        let _ = rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC);
        let address = match address_of(&socket) {
            Some(address) => address.to_string(),
            None => format!("descriptor {number}"),
        };
        held.push(Held::new(name, address, socket));
    }
    held
}
