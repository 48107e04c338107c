use stockade_ipc::Answer;

use super::{Broker, Reply};

impl Broker {
    /// The operator's value for a granted key.
    pub(super) fn config(&self, key: &str) -> Reply {
        (Answer::Config(self.config.get(key).cloned()), None)
    }
}
