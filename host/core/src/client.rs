//! What a host says of clients of its control socket that it turned away.

use std::path::Path;

use stockade_audit::{Decision, Layer, Record};

use crate::host::Host;

impl Host {
    /// Leaves a record that somebody wanted to control this host who may not.
    pub fn refused_client(&self, socket: &Path, uid: &str, pid: Option<u32>) {
        tracing::warn!(
            target: "stockade::host", uid, socket = %socket.display(),
            "a client was refused: its user is not named in control.uids; the audit log has it"
        );
        let record = refused(socket).detail("uid", uid.to_owned());
        self.note(&match pid {
            Some(pid) => record.detail("pid", pid),
            None => record,
        });
    }

    /// The same of so many more, of whom there is no more to say.
    pub fn refused_clients(&self, socket: &Path, count: u64) {
        self.note(&refused(socket).detail("count", count));
    }

    fn note(&self, record: &Record) {
        if let Err(error) = self.0.log.append(record) {
            tracing::error!(target: "stockade::host", %error, "audit record lost");
        }
    }
}

/// A client that may not control the host.
fn refused(socket: &Path) -> Record {
    Record::new(Layer::Host, "refused", Decision::Denied)
        .operation("control")
        .resource(socket.display().to_string())
        .rule("control.uids", "configuration")
        .reason("the client's user may not control this host")
        .next_step("name the user in control.uids if it should")
}
