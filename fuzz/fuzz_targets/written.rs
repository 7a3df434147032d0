//! The address grammar and the reader of error messages: nothing that is typed or piped in panics, and what
//! is understood reads back.
#![no_main]

use inuse_rules::written::{message, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    match parse(&text) {
        Ok(written) => {
            let again = parse(&written.to_string()).expect("what was understood reads back");
            assert_eq!(again.target, written.target);
        }
        Err(mistake) => {
            assert!(text.get(mistake.span.clone()).is_some());
            assert_eq!(mistake.to_string().lines().count(), 1);
            let _ = mistake.caret();
        }
    }
    let _ = message::find(&text);
});
