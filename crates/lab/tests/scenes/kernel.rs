//! What the kernel answers to real binds. Not here: any opinion on what it should answer.

use inuse_lab::Stage;
use inuse_rules::scene::{Scene, Wanted};

/// The kernel's answers to a scene's attempt must be those that the scene states.
/// SO_REUSEPORT comes last: a bind with it may leave a mark in the port's bucket.
pub(crate) fn answers(stage: &mut Stage, scene: &Scene) -> Result<(), String> {
    let Wanted { reuseaddr, reuseport, .. } = scene.attempt;
    let counts = [
        (false, false, scene.expect.plain),
        (true, false, scene.expect.reuseaddr),
        (false, true, scene.expect.reuseport),
    ];
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
