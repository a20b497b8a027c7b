//! Keeps seeds out of core dumps, other processes' reach, and child processes' environments.

/// Variables that may contain a secret. No child process may inherit them.
const SECRET_VARIABLES: [&str; 2] = ["VSTREAM_OPERATOR_SEED", "VSTREAM_PKCS11_PIN"];

/// Returns a command that does not inherit the secrets in this process's environment. Every child process starts with
/// it.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> std::process::Command {
    let mut command = std::process::Command::new(program);
    for name in SECRET_VARIABLES {
        command.env_remove(name);
    }
    command
}

/// Turns off core dumps of this process. On Linux, also prevents other processes of the same user from reading its
/// memory. Called before the first seed is read. Ignores a setting that the system refuses.
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

/// Overwrites the part of the stack that earlier calls used. Calculations with a seed may have left copies there that
/// nothing wipes (moved values, spilled registers).
///
/// It must be called from the same function as those earlier calls.
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
