use std::sync::Arc;

use stockade_ipc::{Answer, Ask};

use super::body::Incoming;
use super::fields::Fields;
use super::request::Unsent;
use super::wit::ErrorCode;
use super::{OnItsWay, Shared, lock};
use crate::state::State;

/// A response that may not be here yet.
pub(crate) struct Pending {
    unsent: Option<Unsent>,
    on_its_way: Option<Shared<OnItsWay>>,
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
    pub(super) fn new(unsent: Unsent) -> Pending {
        Pending { unsent: Some(unsent), on_its_way: None, result: None, arrived: false, given: false }
    }

    /// Its number, where the host has one for it.
    pub(super) fn number(&self) -> Option<u32> {
        lock(self.on_its_way.as_ref()?).live()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.arrived || self.given || self.result.is_some()
    }

    pub(super) fn arrived(&mut self) {
        self.arrived = true;
    }

    /// Has the host send the request, if it has not yet.
    pub(super) fn send(this: &Shared<Pending>, state: &mut State, wait: bool) {
        let unsent = lock(this).unsent.take();
        let Some(unsent) = unsent else { return };
        let (answer, on_its_way) = unsent.send(state, wait);
        let mut pending = lock(this);
        pending.on_its_way = on_its_way;
        if !matches!(answer, Answer::HttpSent(_)) {
            pending.settle(answer);
        }
    }

    /// Asks for the response where it is not here, and waits for it if that is wanted.
    pub(super) fn fetch(this: &Shared<Pending>, state: &mut State, wait: bool) {
        Pending::send(this, state, wait);
        let request = {
            let mut pending = lock(this);
            pending.arrived = false;
            if pending.is_ready() {
                return;
            }
            let Some(request) = pending.number() else {
                pending.result = Some(Err(ErrorCode::ConnectionTerminated));
                return;
            };
            request
        };
        let answer = state.ask(Ask::HttpHead { request, wait }).0;
        lock(this).settle(answer);
    }

    /// Takes what the host says of the response.
    fn settle(&mut self, answer: Answer) {
        self.result = match (answer, &self.on_its_way) {
            (Answer::HttpPending, _) => None,
            (Answer::HttpHead { status, fields, first, end, .. }, Some(on_its_way)) => {
                let end = end.map(Fields::told);
                if end.is_some() {
                    lock(on_its_way).answered();
                }
                let body = Incoming::new(Arc::clone(on_its_way), first, end);
                Some(Ok(IncomingResponse {
                    status,
                    fields: Fields::told(fields),
                    body: Some(Arc::new(std::sync::Mutex::new(body))),
                }))
            }
            (other, on_its_way) => {
                if let Some(on_its_way) = on_its_way {
                    lock(on_its_way).over = true;
                }
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
