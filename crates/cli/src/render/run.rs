//! The steps of a supervisor, one line each on stderr: with the time of day for people, as JSON for programs.
//!
//! A line that cannot be written is lost; a full disk or a reader that went away must not end a server.

use super::run_json;
use crate::args::LogForm;
use inuse_keeper::hold::log::Step;
use std::io::Write as _;

/// Where steps are told.
pub struct Log {
    form: LogForm,
    zone: jiff::tz::TimeZone,
}

impl Log {
    /// In this form.
    pub fn new(form: LogForm) -> Log {
        Log { form, zone: jiff::tz::TimeZone::system() }
    }

    /// Whether programs read it: then there is nothing else on stderr.
    pub fn is_json(&self) -> bool {
        self.form == LogForm::Json
    }

    /// Tells one.
    pub fn step(&mut self, step: &Step) {
        let line = line(step, self.form, jiff::Timestamp::now(), &self.zone);
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

fn line(step: &Step, form: LogForm, now: jiff::Timestamp, zone: &jiff::tz::TimeZone) -> String {
    match form {
        LogForm::Quiet if !goes_wrong(step) => String::new(),
        LogForm::Text | LogForm::Quiet => {
            let time = now.to_zoned(zone.clone()).strftime("%H:%M:%S%.3f");
            format!("inuse: {time} {step}\n")
        }
        LogForm::Json => run_json::line(step, now.to_string()),
    }
}

fn goes_wrong(step: &Step) -> bool {
    matches!(
        step,
        Step::RestartFailed { .. }
            | Step::FailedStart { .. }
            | Step::NotStarted { .. }
            | Step::Taken { .. }
            | Step::RolledBack { .. }
            | Step::BeforeFailed { .. }
            | Step::ComesBack { .. }
            | Step::GaveUp { .. }
            | Step::Warning(_)
            | Step::NotBound(_)
            | Step::NotSetUp { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let step = Step::Started { generation: 2, pid: 70 };
        let told = |form| line(&step, form, jiff::Timestamp::UNIX_EPOCH, &jiff::tz::TimeZone::UTC);
        assert_eq!(told(LogForm::Text), "inuse: 00:00:00.000 generation 2 started, pid 70\n");
        assert_eq!(told(LogForm::Quiet), "");
        assert_eq!(
            told(LogForm::Json),
            "{\"schema\":\"inuse.run/1\",\"time\":\"1970-01-01T00:00:00Z\",\"event\":\"started\",\"generation\":2,\
             \"pid\":70,\"message\":\"generation 2 started, pid 70\"}\n"
        );
    }
}
