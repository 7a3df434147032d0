//! What the other side sent, on our own standard output: exactly as it came, but not to a terminal.
//!
//! A terminal obeys control sequences; there, everything but line feeds and tabs is shown escaped.

use inuse_rules::address::escape;
use std::io::{self, IsTerminal as _, Write};

/// Writes foreign bytes.
#[derive(Debug)]
pub struct Printer<W> {
    out: W,
    escaped: bool,
}

impl Printer<io::Stdout> {
    /// Standard output.
    pub fn stdout() -> Printer<io::Stdout> {
        let out = io::stdout();
        Printer { escaped: out.is_terminal(), out }
    }
}

impl<W: Write> Printer<W> {
    /// Writes them, and hands them on at once.
    ///
    /// # Errors
    /// What the output says, a closed pipe too.
    pub fn print(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.escaped {
            for line in bytes.split_inclusive(|&byte| byte == b'\n') {
                self.out.write_all(shown(line).as_bytes())?;
            }
        } else {
            self.out.write_all(bytes)?;
        }
        self.out.flush()
    }
}

fn shown(line: &[u8]) -> String {
    let (text, end) = match line.strip_suffix(b"\n") {
        Some(text) => (text.strip_suffix(b"\r").unwrap_or(text), "\n"),
        None => (line, ""),
    };
    text.split(|&byte| byte == b'\t').map(escape).collect::<Vec<_>>().join("\t") + end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_commanded() {
        let check = |bytes: &[u8], expect: &str| {
            let mut printer = Printer { out: Vec::new(), escaped: true };
            printer.print(bytes).unwrap();
            assert_eq!(printer.out, expect.as_bytes());
            let mut printer = Printer { out: Vec::new(), escaped: false };
            printer.print(bytes).unwrap();
            assert_eq!(printer.out, bytes);
        };
        check(b"hello\r\n\tx\n", "hello\n\tx\n");
        check(b"\x1b[2Jgone", "\\u{1b}[2Jgone");
        check(b"\xff\n", "\\xff\n");
        check("é\n".as_bytes(), "é\n");
        check(b"", "");
    }
}
