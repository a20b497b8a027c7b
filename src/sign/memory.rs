//! Keeping seeds out of core dumps, of other processes' sight, and of what children inherit.

/// Variables that may hold a secret, which no child process is to inherit.
const SECRET_VARIABLES: [&str; 2] = ["VSTREAM_OPERATOR_SEED", "VSTREAM_PKCS11_PIN"];

/// A command that does not inherit what is secret in our environment. Every child process is started with this.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> std::process::Command {
    let mut command = std::process::Command::new(program);
    for name in SECRET_VARIABLES {
        command.env_remove(name);
    }
    command
}

/// Turns core dumps of this process off, and on Linux reading its memory by other processes of the same user. Called
/// before the first seed is read; what the system refuses stays as it was.
pub fn protect() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// Overwrites the part of the stack that calls before this one used: what was computed with a seed may have left copies
/// there, which nothing wipes (moved values, spilled registers).
///
/// It has to be called from where those calls were made.
#[inline(never)]
pub(crate) fn scrub_stack() {
    let mut below = [0u8; 64 * 1024];
    zeroize::Zeroize::zeroize(&mut below[..]);
    std::hint::black_box(&below);
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

    #[test]
    fn no_core_is_dumped() {
        super::protect();
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
