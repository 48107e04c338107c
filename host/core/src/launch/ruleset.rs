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
