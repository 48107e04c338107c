use std::fmt;

use serde::{Serialize, Serializer};

/// One call of a host's, from whoever made it down to everything that came of it: the calls that an agent makes
/// on the way have the same. In records it is the detail `trace`, in logs the field `call`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId {
    pub(crate) host: u32,
    pub(crate) number: u64,
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}.{}", self.host, self.number)
    }
}

impl Serialize for CallId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
