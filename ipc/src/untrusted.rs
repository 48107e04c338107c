use crate::Fault;

/// Something a peer claims. It can be looked at only by checking it first.
#[derive(Debug)]
pub struct Untrusted<T>(T);

/// A claim that can be checked by itself, without knowing what it will be used for.
pub(crate) trait Claim {
    /// Whether the claim can be true at all: bounds, references, shapes.
    fn plausible(&self) -> Result<(), Fault>;
}

impl<T> Untrusted<T> {
    pub(crate) fn new(claim: T) -> Self {
        Self(claim)
    }
}

#[expect(private_bounds, reason = "which types are claims is decided in this crate alone")]
impl<T: Claim> Untrusted<T> {
    /// The claim, once it is plausible. What it asks for still has to be decided.
    pub fn check(self) -> Result<T, Fault> {
        self.0.plausible()?;
        Ok(self.0)
    }
}
