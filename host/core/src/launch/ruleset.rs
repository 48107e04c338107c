use std::os::fd::OwnedFd;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetError,
    Scope,
};
use stockade_policy::stands;

/// All of these rights, each a protection by its own name: `landlock.ReadFile`.
macro_rules! standing {
    ($rights:expr) => {
        $rights.iter().filter(|right| stands(&format!("landlock.{right:?}"))).collect::<BitFlags<_>>()
    };
}

/// A Landlock ruleset as every confined program gets it: everything that ABI 6 (Linux 6.12) can refuse is
/// refused, without one exception. The programs are executed from memfds, which Landlock does not
/// govern, so not even they need a rule (docs/decisions/0002).
pub fn deny_all() -> Result<OwnedFd, RulesetError> {
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(standing!(AccessFs::from_all(ABI::V6)))?
        .handle_access(standing!(AccessNet::from_all(ABI::V6)))?
        .scope(standing!(Scope::from_all(ABI::V6)))?
        .create()?;
    let fd: Option<OwnedFd> = ruleset.into();
    Ok(fd.expect("a hard requirement was met, so the kernel made a ruleset"))
}

/// `LANDLOCK_RESTRICT_SELF_LOG_NEW_EXEC_ON`, since ABI 7 (Linux 6.15).
const LOG_NEW_EXEC_ON: u32 = 1 << 1;

/// Has the kernel record what the domain refuses where it can. The domain is put on before the program is executed, and
/// without the flag only what is refused before would be recorded.
pub(super) fn flags() -> u32 {
    let abi = crate::support::landlock_abi_number();
    if abi >= 7 && stands("landlock.recorded") { LOG_NEW_EXEC_ON } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTECTIONS: &str = include_str!("../../../../tests/protections.toml");

    /// The kernel refuses `Refer` in every domain, whether a ruleset handles it or not: nobody could notice.
    const ALWAYS: &str = "Refer";

    #[test]
    fn every_right_is_in_the_mutation_list() {
        let rights = AccessFs::from_all(ABI::V6).iter().map(|right| format!("{right:?}"));
        let rights = rights.chain(AccessNet::from_all(ABI::V6).iter().map(|right| format!("{right:?}")));
        let rights = rights.chain(Scope::from_all(ABI::V6).iter().map(|right| format!("{right:?}")));
        let (listed, missing): (Vec<_>, Vec<_>) = rights
            .filter(|right| right != ALWAYS)
            .partition(|right| PROTECTIONS.contains(&format!("\nname = \"landlock.{right}\"\n")));
        assert!(listed.len() > 15 && missing.is_empty(), "tests/protections.toml lacks {missing:?}");
    }
}
