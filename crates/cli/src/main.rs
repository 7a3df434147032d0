//! The command `inuse`. Everything is in the library beside it.

fn main() -> std::process::ExitCode {
    // The processes of `inuse lab` are further runs of this binary.
    inuse_lab::helper_main();
    inuse_cli::run(std::env::args_os()).into()
}
