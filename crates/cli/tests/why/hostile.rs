//! Names that other processes chose never act on the terminal, in text or in JSON.

use crate::fixtures::hostile;
use crate::golden::{coloured, plain};
use inuse_cli::redact::redact;
use inuse_cli::render::json;
use inuse_rules::address::deceives;

#[test]
fn no_character_of_a_hostile_name_reaches_the_terminal() {
    for verbose in [false, true] {
        let text = plain(&hostile(), verbose);
        let bad: Vec<char> = text.chars().filter(|&c| c != '\n' && deceives(c)).collect();
        assert!(bad.is_empty(), "{bad:?}: {text}");
        assert!(!text.lines().any(|line| line.starts_with("Injected")), "{text}");
        assert!(text.contains("a\\u{1b}[2J"), "{text}");
        assert!(!coloured(&hostile(), verbose).contains("\u{1b}[2J"));
    }
}

#[test]
fn json_gives_exact_bytes_and_deceives_nobody() {
    let text = json::document(&hostile(), None);
    let bad: Vec<char> = text.trim_end().chars().filter(|&c| deceives(c)).collect();
    assert!(bad.is_empty(), "{bad:?}");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let owner = &value["results"][0]["holders"][0]["owners"][0];
    assert_eq!(owner["comm"], "a\\u{1b}[2J\\n\\xff");
    assert_eq!(owner["comm_bytes"], "611b5b324a0aff");
    assert_eq!(owner["cmdline_bytes"][2], "fffe");
    assert_eq!(owner["cmdline"][1], "--user=\u{202e}nimda", "text that is UTF-8 is exact");
    assert_eq!(owner["cwd"], "/tmp/\u{200b}zero\r");
    assert!(owner.get("cwd_bytes").is_none());
}

#[test]
fn redact_hides_arguments_and_paths_everywhere() {
    for (name, mut answers) in crate::fixtures::all() {
        answers.iter_mut().for_each(redact);
        let texts = [plain(&answers, true), json::document(&answers, None)];
        for text in texts {
            for secret in
                ["server.js", "/home/tom", "/usr/bin", "http.server", "app's", "--no-buffer", "nimda"]
            {
                assert!(!text.contains(secret), "{name} shows {secret}:\n{text}");
            }
        }
    }
}
