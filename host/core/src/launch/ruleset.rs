use std::os::fd::OwnedFd;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetError, Scope,
};

/// A Landlock ruleset as every confined program gets it: everything that ABI 6 (Linux 6.12) can refuse is
/// refused, without one exception. The programs are executed from memfds, which Landlock does not
/// govern, so not even they need a rule (docs/decisions/0002).
pub fn deny_all() -> Result<OwnedFd, RulesetError> {
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V6))?
        .handle_access(AccessNet::from_all(ABI::V6))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?;
    let fd: Option<OwnedFd> = ruleset.into();
    Ok(fd.expect("a hard requirement was met, so the kernel made a ruleset"))
}
