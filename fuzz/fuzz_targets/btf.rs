//! Whatever stands where the kernel describes its types, looking for members neither panics nor runs away.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|types: &[u8]| {
    let _ = inuse_kernel::bpf::fits(types);
});
