//! The `vstream-jwt` command.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    vstream_jwt::cli::main()
}
