//! `inuse-bench`: measures the command beside the programs that people use instead; everything is in
//! `inuse_lab::bench`.

use std::process::ExitCode;

fn main() -> ExitCode {
    inuse_lab::bench::helper_main();
    inuse_lab::helper_main();
    ExitCode::from(inuse_lab::bench::main(std::env::args_os()))
}
