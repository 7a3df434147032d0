//! The command `inuse`. Everything is in the library beside it.

fn main() -> std::process::ExitCode {
    inuse_cli::run(std::env::args_os()).into()
}
