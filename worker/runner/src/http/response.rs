use std::sync::Arc;

use stockade_ipc::{Answer, Ask};

use super::body::Incoming;
use super::fields::Fields;
use super::wit::ErrorCode;
use super::{OnItsWay, Shared, lock};
use crate::state::State;

/// A response that may not be here yet.
pub(crate) struct Pending {
    on_its_way: Shared<OnItsWay>,
    result: Option<Result<IncomingResponse, ErrorCode>>,
    arrived: bool,
    given: bool,
}

/// `future-incoming-response`
pub(crate) struct FutureResponse(pub(super) Shared<Pending>);

/// `incoming-response`
pub(crate) struct IncomingResponse {
    pub(super) status: u16,
    pub(super) fields: Fields,
    /// None once it was consumed.
    pub(super) body: Option<Shared<Incoming>>,
}

impl Pending {
    pub(super) fn new(on_its_way: Shared<OnItsWay>) -> Pending {
        Pending { on_its_way, result: None, arrived: false, given: false }
    }

    pub(super) fn number(&self) -> u32 {
        lock(&self.on_its_way).number
    }

    pub(super) fn is_ready(&self) -> bool {
        self.arrived || self.given || self.result.is_some()
    }

    pub(super) fn arrived(&mut self) {
        self.arrived = true;
    }

    /// Asks for the response where it is not here, and waits for it if that is wanted.
    pub(super) fn fetch(this: &Shared<Pending>, state: &mut State, wait: bool) {
        let request = {
            let mut pending = lock(this);
            pending.arrived = false;
            if pending.is_ready() {
                return;
            }
            let live = lock(&pending.on_its_way).live();
            let Some(request) = live else {
                pending.result = Some(Err(ErrorCode::ConnectionTerminated));
                return;
            };
            request
        };
        let answer = state.ask(Ask::HttpHead { request, wait }).0;
        let mut pending = lock(this);
        let pending = &mut *pending;
        pending.result = match answer {
            Answer::HttpPending => None,
            Answer::HttpHead { status, fields, first, end } => {
                let end = end.map(Fields::told);
                if end.is_some() {
                    lock(&pending.on_its_way).answered();
                }
                let body = Incoming::new(Arc::clone(&pending.on_its_way), first, end);
                Some(Ok(IncomingResponse {
                    status,
                    fields: Fields::told(fields),
                    body: Some(Arc::new(std::sync::Mutex::new(body))),
                }))
            }
            other => {
                lock(&pending.on_its_way).over = true;
                Some(Err(ErrorCode::from(other)))
            }
        };
    }

    /// The response, once; `Some(None)` where it was given before.
    #[expect(clippy::option_option, reason = "as the interface has it")]
    pub(super) fn take(
        this: &Shared<Pending>,
        state: &mut State,
    ) -> Option<Option<Result<IncomingResponse, ErrorCode>>> {
        Pending::fetch(this, state, false);
        let mut pending = lock(this);
        if pending.given {
            return Some(None);
        }
        let result = pending.result.take()?;
        pending.given = true;
        Some(Some(result))
    }
}
