//! The programs that are compared, as data: what is run for which question, and how its answer is read.
//!
//! Names of hosts and services are never looked up (`-n`, `-P`): that would measure a name server.

use super::answer::{Form, Owners};
use crate::crowd;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Who has this port?
    Who(u16),
    /// What listens, and who is it?
    What,
    /// Every TCP socket, and who has it.
    Everything,
}

/// One program as it is run for one question.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    pub(super) program: &'static str,
    /// `PORT` stands for the port.
    pub(super) arguments: &'static [&'static str],
    pub(super) form: Form,
    /// What prints its version.
    pub(super) version: &'static str,
}

const fn tool(
    program: &'static str,
    arguments: &'static [&'static str],
    form: Form,
    version: &'static str,
) -> Tool {
    Tool { program, arguments, form, version }
}

/// Who has this port? The first is what the others are compared with.
pub(super) const WHO: [Tool; 7] = [
    tool("inuse", &["why", "PORT"], Form::Why, "--version"),
    tool("ss", &["-tanp", "sport = :PORT"], Form::Ss, "-V"),
    tool("fuser", &["PORT/tcp"], Form::Fuser, "-V"),
    tool("lsof", &["-nP", "-i", ":PORT"], Form::Lsof, "-v"),
    tool("netstat", &["-tlnp"], Form::Netstat, "-V"),
    tool("killport", &["--dry-run", "PORT"], Form::Killport, "--version"),
    tool("somo", &["-t", "-l", "--json", "-p", "PORT"], Form::Somo, "--version"),
];

/// What listens?
pub(super) const WHAT: [Tool; 5] = [
    tool("inuse", &["ls"], Form::Ls, "--version"),
    tool("ss", &["-tlnp"], Form::Ss, "-V"),
    tool("lsof", &["-nP", "-iTCP", "-sTCP:LISTEN"], Form::Lsof, "-v"),
    tool("netstat", &["-tlnp"], Form::Netstat, "-V"),
    tool("somo", &["-t", "-l", "--json"], Form::Somo, "--version"),
];

/// Every TCP socket.
pub(super) const EVERYTHING: [Tool; 4] = [
    tool("inuse", &["ls", "--all", "--proto", "tcp"], Form::Ls, "--version"),
    tool("ss", &["-tanp"], Form::Ss, "-V"),
    tool("lsof", &["-nP", "-iTCP"], Form::Lsof, "-v"),
    tool("netstat", &["-tanp"], Form::Netstat, "-V"),
];

impl Question {
    /// The programs that are asked.
    pub(super) fn tools(self) -> &'static [Tool] {
        match self {
            Question::Who(_) => &WHO,
            Question::What => &WHAT,
            Question::Everything => &EVERYTHING,
        }
    }

    fn port(self) -> Option<u16> {
        match self {
            Question::Who(port) => Some(port),
            Question::What | Question::Everything => None,
        }
    }
}

impl Tool {
    /// The arguments for one question.
    pub(super) fn words(&self, question: Question) -> Vec<String> {
        let port = question.port().map(|port| port.to_string()).unwrap_or_default();
        self.arguments.iter().map(|word| word.replace("PORT", &port)).collect()
    }

    /// As it is typed.
    pub(super) fn typed(&self) -> String {
        let quoted = |word: &str| if word.contains(' ') { format!("'{word}'") } else { word.to_owned() };
        let words = self.arguments.iter().map(|word| quoted(word));
        std::iter::once(self.program.to_owned()).chain(words).collect::<Vec<_>>().join(" ")
    }

    /// What is wrong with an answer, held against the staged truth: which process listens on which port.
    ///
    /// # Errors
    /// What it says instead.
    pub(super) fn check(&self, output: &str, question: Question, truth: &Truth) -> Result<(), String> {
        if let (Form::Killport, Question::Who(port)) = (self.form, question) {
            let name = truth.names.get(&port).map(String::as_str).unwrap_or_default();
            // It prints the command line, which begins with the name.
            let lines: Vec<&str> = output.lines().collect();
            let right = [format!("'{name}'"), format!("'{name} ")];
            let named = lines.len() == 1 && right.iter().any(|right| output.contains(right.as_str()));
            return if named { Ok(()) } else { Err(format!("{name} is not named: {}", start_of(output))) };
        }
        let said = self.form.read(output, question.port());
        let right: Owners = match question {
            Question::Who(port) => {
                truth.owners.get_key_value(&port).map(|(&p, o)| (p, o.clone())).into_iter().collect()
            }
            Question::What | Question::Everything => truth.owners.clone(),
        };
        // Connections have other ports as well, with --all.
        let said: Owners = said.into_iter().filter(|(port, _)| truth.owners.contains_key(port)).collect();
        match right.iter().find(|(port, pids)| said.get(port) != Some(pids)) {
            None => Ok(()),
            Some((port, pids)) => {
                let (none, pids) = (BTreeSet::new(), pids.iter().collect::<Vec<_>>());
                let named = said.get(port).unwrap_or(&none);
                Err(format!("port {port} is of {pids:?}, and it names {named:?}: {}", start_of(output)))
            }
        }
    }
}

/// What was staged.
#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) owners: Owners,
    /// The name of the process that has the port.
    pub(super) names: std::collections::BTreeMap<u16, String>,
}

impl Truth {
    pub(super) fn of(listeners: &std::collections::BTreeMap<u16, u32>) -> Truth {
        let mut truth = Truth::default();
        let mut first = (0, 0);
        for (&port, &pid) in listeners {
            if first.1 != pid {
                first = (port, pid);
            }
            truth.owners.insert(port, BTreeSet::from([pid]));
            truth.names.insert(port, crowd::name(first.0));
        }
        truth
    }
}

/// Where the program is, as a shell would find it, and in the directories of the system's own programs.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|place| place.join(program)).find(|path| is_program(path))
}

pub(super) fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

fn start_of(output: &str) -> String {
    let line = output.trim().lines().next().unwrap_or("nothing printed");
    line.chars().take(120).collect()
}
