//! Options in words and values in bytes: nothing that is typed and nothing that the kernel could answer panics, and
//! what is shown reads back as the same value or not at all.
#![no_main]

use inuse_kernel::options::table;
use inuse_kernel::options::value::{decode, parse, show};
use inuse_kernel::options::words;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    if let Err(wrong) = words::parse(&text) {
        assert_eq!(wrong.to_string().lines().count(), 1);
    }
    for spec in table::all() {
        if let Some(value) = decode(spec.form, bytes) {
            let _ = show(spec.form, &value);
        }
        if let Ok(value) = parse(spec.form, &text) {
            let again = parse(spec.form, &show(spec.form, &value)).expect("what was understood reads back");
            assert_eq!(again, value, "{}", spec.name);
        }
    }
});
