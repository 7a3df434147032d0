//! What clients ask, and what counts as an answer: bytes only.

use std::time::Duration;

/// How long the answer to `GET /slow` takes.
pub const SLOW: Duration = Duration::from_secs(2);

/// The longest answer that is read.
pub(super) const LONGEST: usize = 256 * 1024;

/// Before the name of the generation in an answer of HTTP.
const MARK: &[u8] = b"generation=";

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// HTTP/1; the body has `generation=NAME`.
    Http,
    /// A question and an answer, any number of them on one connection.
    Words {
        /// What is sent.
        question: &'static str,
        /// What comes before the generation's name in the answer.
        mark: &'static str,
        /// What ends an answer; nothing: the end of the connection does.
        end: &'static str,
    },
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The generation that gave it, if it is a good answer.
    pub(super) generation: Option<String>,
    /// The connection takes another request.
    pub(super) stays: bool,
}

impl Dialect {
    /// The bytes of a request. `path` and `stay` mean something in HTTP only.
    pub(super) fn question(self, path: &str, stay: bool) -> Vec<u8> {
        let connection = if stay { "keep-alive" } else { "close" };
        match self {
            Dialect::Http => {
                format!("GET {path} HTTP/1.1\r\nHost: load\r\nConnection: {connection}\r\n\r\n").into_bytes()
            }
            Dialect::Words { question, .. } => question.into(),
        }
    }

    /// The answer, once it is whole. `ended`: nothing more will come.
    pub(super) fn answer(self, bytes: &[u8], ended: bool) -> Option<Answer> {
        match self {
            Dialect::Http => http(bytes, ended),
            Dialect::Words { mark, end, .. } => {
                let over = if end.is_empty() { ended } else { find(bytes, end.as_bytes()).is_some() };
                (over && !bytes.is_empty())
                    .then(|| Answer { generation: name(bytes, mark.as_bytes()), stays: !end.is_empty() })
            }
        }
    }
}

fn http(bytes: &[u8], ended: bool) -> Option<Answer> {
    let head_ends = find(bytes, b"\r\n\r\n")?;
    let (head, body) = (bytes.get(..head_ends)?, bytes.get(head_ends + 4..)?);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    let headers: Vec<(&str, &str)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect();
    let header = |name: &str| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    let length = header("content-length").and_then(|length| length.parse::<usize>().ok());
    if !length.map_or(ended, |length| body.len() >= length) {
        return None;
    }
    let good = status.starts_with("http/1.") && status.split(' ').nth(1) == Some("200");
    let stays = length.is_some() && status.starts_with("http/1.1") && header("connection") != Some("close");
    Some(Answer { generation: good.then(|| name(body, MARK)).flatten(), stays })
}

/// The word after the mark.
fn name(bytes: &[u8], mark: &[u8]) -> Option<String> {
    let from = find(bytes, mark)? + mark.len();
    let rest = bytes.get(from..)?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-' | b'_' | b'.');
    let length = rest.iter().take_while(|byte| plain(byte)).count();
    let word = rest.get(..length).filter(|word| !word.is_empty())?;
    Some(String::from_utf8_lossy(word).into_owned())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(generation: Option<&str>, stays: bool) -> Option<Answer> {
        Some(Answer { generation: generation.map(str::to_owned), stays })
    }

    #[test]
    fn answers_of_http() {
        let check = |text: &str, ended, expect: Option<Answer>| {
            assert_eq!(Dialect::Http.answer(text.as_bytes(), ended), expect, "{text:?} {ended}");
        };
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\ngeneration=70:2\n";
        check(whole, false, answer(Some("70:2"), true));
        check(&whole[..whole.len() - 1], true, None);
        check(&whole.replace("1.1", "1.0"), false, answer(Some("70:2"), false));
        check(&whole.replace("200", "502"), false, answer(None, true));
        let closes = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
        check(closes, false, answer(None, false));
        check("HTTP/1.0 200 OK\r\n\r\ngeneration=a b", true, answer(Some("a"), false));
        check("HTTP/1.0 200 OK\r\n\r\ngeneration=a b", false, None);
        check("", true, None);
        check("HTTP/1.1 200 OK\r\nContent-Len", true, None);
        check("\r\n\r\n", true, answer(None, false));
    }

    #[test]
    fn answers_in_words() {
        let stats = Dialect::Words { question: "stats\r\n", mark: "STAT pid ", end: "END\r\n" };
        assert_eq!(stats.answer(b"STAT pid 70\r\nSTAT x 1\r\nEND\r\n", false), answer(Some("70"), true));
        assert_eq!(stats.answer(b"STAT pid 70\r\n", true), None);
        assert_eq!(stats.answer(b"ERROR\r\nEND\r\n", false), answer(None, true));
        let echo = Dialect::Words { question: "", mark: "generation=", end: "" };
        assert_eq!(echo.answer(b"generation=1:2\n", false), None);
        assert_eq!(echo.answer(b"generation=1:2\n", true), answer(Some("1:2"), false));
        assert_eq!(echo.answer(b"", true), None);
    }
}
