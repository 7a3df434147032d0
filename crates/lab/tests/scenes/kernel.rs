//! What the kernel answers to real binds. Not here: any opinion on what it should answer.

use inuse_lab::Stage;
use inuse_rules::scene::{Expect, Place, Scene, Wanted};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};

/// What a scene states, on this kernel. Older ones let unix sockets have SO_REUSEPORT, without effect; as
/// distributions have taken that away in various versions, the kernel itself is asked.
pub(crate) fn expected(scene: &Scene) -> Expect {
    let on_unix = !matches!(scene.attempt.place, Place::Inet(_));
    let taken = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .and_then(|socket| sockopt::set_socket_reuseport(&socket, true));
    match taken {
        Ok(()) if on_unix => Expect { reuseport: scene.expect.plain, ..scene.expect },
        _ => scene.expect,
    }
}

/// The kernel's answers to a scene's attempt must be those that the scene states.
///
/// SO_REUSEPORT comes last: a bind with it may leave a mark in the port's bucket.
pub(crate) fn answers(stage: &mut Stage, scene: &Scene) -> Result<(), String> {
    let Wanted { reuseaddr, reuseport, .. } = scene.attempt;
    let expect = expected(scene);
    let counts =
        [(false, false, expect.plain), (true, false, expect.reuseaddr), (false, true, expect.reuseport)];
    if !counts.iter().any(|(a, p, _)| (*a, *p) == (reuseaddr, reuseport)) {
        return Err("the attempt's own options have no expectation".into());
    }
    for (reuseaddr, reuseport, expect) in counts {
        let wanted = scene.attempt.with(reuseaddr, reuseport);
        let answer = stage.attempt(&wanted).map_err(|error| error.to_string())?;
        if answer != expect {
            return Err(format!(
                "{}: with SO_REUSEADDR {reuseaddr}, SO_REUSEPORT {reuseport} the kernel answers {answer:?}, \
                 the scene says {expect:?}",
                scene.name
            ));
        }
    }
    Ok(())
}
