//! Bodies, both ways. Nothing is kept here but what one message brings: a guest that does not read makes the
//! server wait.

use std::sync::Arc;

use stockade_ipc::bounds::{HTTP_WHOLE, WRITE};
use stockade_ipc::{Answer, Ask, Bytes, HttpBody};

use super::fields::Fields;
use super::wit::ErrorCode;
use super::{OnItsWay, Shared, lock, send_all};
use crate::state::State;

/// What a guest may write before the request is sent.
const AHEAD: usize = 64 * 1024;

/// The body of a request.
#[derive(Default)]
pub(crate) struct Outgoing {
    /// None until the request is sent.
    on_its_way: Option<Shared<OnItsWay>>,
    ahead: Vec<u8>,
    room: u64,
    finished: Option<Fields>,
    /// Let go of without an end, or the request is over: nothing goes anywhere any more.
    lost: Option<ErrorCode>,
    promised: Option<u64>,
    written: u64,
    streaming: bool,
}

/// `outgoing-body`
pub(crate) struct OutgoingBody(pub(super) Shared<Outgoing>);

impl Outgoing {
    pub(super) fn new(promised: Option<u64>) -> Outgoing {
        Outgoing { promised, ..Outgoing::default() }
    }

    /// Bytes that the guest may write now.
    pub(crate) fn room(&self) -> u64 {
        match &self.on_its_way {
            // Where it is lost, writing says so.
            _ if self.lost.is_some() => 1,
            Some(_) => self.room,
            None => AHEAD.saturating_sub(self.ahead.len()) as u64,
        }
    }

    pub(super) fn number(&self) -> Option<u32> {
        self.on_its_way.as_ref().map(|it| lock(it).number)
    }

    pub(super) fn room_made(&mut self) {
        self.room = self.room.max(WRITE as u64);
    }

    /// The one stream of it, once.
    pub(super) fn stream(&mut self) -> bool {
        !std::mem::replace(&mut self.streaming, true)
    }

    /// Sends on what was written before the request was.
    pub(super) fn sent(body: &Shared<Outgoing>, on_its_way: &Shared<OnItsWay>, state: &mut State) {
        let (ahead, finished) = {
            let mut body = lock(body);
            body.on_its_way = Some(Arc::clone(on_its_way));
            if !lock(on_its_way).uploading {
                return;
            }
            (std::mem::take(&mut body.ahead), body.finished.take())
        };
        let _ = Outgoing::pass_on(body, &ahead, state);
        if let Some(trailers) = finished {
            let _ = Outgoing::say_finished(body, &trailers, state);
        }
    }

    /// Takes what the guest writes.
    pub(crate) fn write(body: &Shared<Outgoing>, bytes: &[u8], state: &mut State) -> Result<(), ErrorCode> {
        {
            let mut body = lock(body);
            body.written += bytes.len() as u64;
            if body.promised.is_some_and(|promised| body.written > promised) {
                body.lost = Some(ErrorCode::HttpRequestBodySize(Some(body.written)));
            }
            if let Some(lost) = &body.lost {
                return Err(lost.clone());
            }
            if body.on_its_way.is_none() {
                body.ahead.extend_from_slice(bytes);
                return Ok(());
            }
        }
        Outgoing::pass_on(body, bytes, state)
    }

    fn pass_on(body: &Shared<Outgoing>, bytes: &[u8], state: &mut State) -> Result<(), ErrorCode> {
        let Some(request) = lock(body).live() else { return Err(ErrorCode::ConnectionTerminated) };
        for block in bytes.chunks(WRITE) {
            let answer = state.ask(Ask::HttpWrite { request, bytes: Bytes(block.to_vec()) }).0;
            lock(body).settle(answer)?;
        }
        if bytes.is_empty() {
            // How much it takes is known from the first block on.
            lock(body).room = WRITE as u64;
        }
        Ok(())
    }

    fn live(&self) -> Option<u32> {
        lock(self.on_its_way.as_ref()?).live()
    }

    fn settle(&mut self, answer: Answer) -> Result<(), ErrorCode> {
        match answer {
            Answer::HttpRoom(room) => {
                self.room = room.into();
                Ok(())
            }
            other => {
                let error = ErrorCode::from(other);
                self.lost = Some(error.clone());
                Err(error)
            }
        }
    }

    /// The guest has written everything.
    pub(super) fn finish(
        body: &Shared<Outgoing>,
        trailers: Fields,
        state: &mut State,
    ) -> Result<(), ErrorCode> {
        {
            let mut body = lock(body);
            if let Some(lost) = &body.lost {
                return Err(lost.clone());
            }
            let wrong = body.promised.is_some_and(|promised| promised != body.written);
            if !wrong && body.on_its_way.is_none() {
                body.finished = Some(trailers);
                return Ok(());
            }
            if wrong {
                body.lost = Some(ErrorCode::HttpRequestBodySize(Some(body.written)));
            }
        }
        match Outgoing::abandon(body, state) {
            Some(lost) => Err(lost),
            None => Outgoing::say_finished(body, &trailers, state),
        }
    }

    /// Ends a request whose body will never be whole.
    fn abandon(body: &Shared<Outgoing>, state: &mut State) -> Option<ErrorCode> {
        let lost = lock(body).lost.clone()?;
        if let Some(it) = lock(body).on_its_way.clone() {
            OnItsWay::end(&it, state);
        }
        Some(lost)
    }

    /// The guest has let go of the body. What is not finished by then never will be.
    pub(crate) fn let_go(body: &Shared<Outgoing>, state: &mut State) {
        {
            let mut body = lock(body);
            if body.finished.is_some() {
                return;
            }
            body.lost.get_or_insert(ErrorCode::ConnectionTerminated);
        }
        Outgoing::abandon(body, state);
    }

    fn say_finished(body: &Shared<Outgoing>, trailers: &Fields, state: &mut State) -> Result<(), ErrorCode> {
        // The response may be here before the whole request is there.
        let Some(request) = lock(body).live() else { return Ok(()) };
        let answer = state.ask(Ask::HttpFinish { request, trailers: trailers.tell() }).0;
        let mut body = lock(body);
        body.settle(answer)?;
        body.finished = Some(Fields::default());
        if let Some(it) = &body.on_its_way {
            lock(it).uploading = false;
        }
        Ok(())
    }

    /// Whether it will never be whole.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// What goes with the head of the request: all of it, where that is little and there already.
    pub(super) fn content(&mut self) -> HttpBody {
        match &self.finished {
            Some(trailers) if trailers.list.is_empty() && self.ahead.len() <= HTTP_WHOLE => {
                HttpBody::Whole(Bytes(std::mem::take(&mut self.ahead)))
            }
            _ => HttpBody::Follows,
        }
    }
}

/// The body of a response.
pub(crate) struct Incoming {
    on_its_way: Shared<OnItsWay>,
    buffer: Vec<u8>,
    taken: usize,
    /// The trailers, at the end.
    end: Option<Fields>,
    failed: Option<ErrorCode>,
    arrived: bool,
    streaming: bool,
}

/// `incoming-body`
pub(crate) struct IncomingBody(pub(super) Shared<Incoming>);

/// `future-trailers`
pub(crate) struct Trailers {
    pub(super) of: Shared<Incoming>,
    pub(super) given: bool,
}

impl Incoming {
    pub(super) fn new(on_its_way: Shared<OnItsWay>, first: Bytes, end: Option<Fields>) -> Incoming {
        Incoming {
            on_its_way,
            buffer: first.0,
            taken: 0,
            end,
            failed: None,
            arrived: false,
            streaming: false,
        }
    }

    pub(super) fn number(&self) -> u32 {
        lock(&self.on_its_way).number
    }

    pub(super) fn is_ready(&self) -> bool {
        self.arrived || self.taken < self.buffer.len() || self.end.is_some() || self.failed.is_some()
    }

    pub(super) fn arrived(&mut self) {
        self.arrived = true;
    }

    /// The one stream of it, once.
    pub(super) fn stream(&mut self) -> bool {
        !std::mem::replace(&mut self.streaming, true)
    }

    /// Asks for more where there is nothing, and waits for it if that is wanted.
    pub(super) fn fetch(body: &Shared<Incoming>, state: &mut State, wait: bool) {
        if wait {
            send_all(state);
        }
        let request = {
            let mut body = lock(body);
            body.arrived = false;
            if body.is_ready() {
                return;
            }
            let live = lock(&body.on_its_way).live();
            let Some(request) = live else {
                body.failed = Some(ErrorCode::ConnectionTerminated);
                return;
            };
            request
        };
        let answer = state.ask(Ask::HttpRead { request, wait }).0;
        let mut body = lock(body);
        match answer {
            Answer::HttpPending => {}
            Answer::HttpBody { bytes, end } => {
                body.buffer = bytes.0;
                body.taken = 0;
                body.end = end.map(Fields::told);
                if body.end.is_some() {
                    lock(&body.on_its_way).answered();
                }
            }
            other => {
                body.failed = Some(ErrorCode::from(other));
                lock(&body.on_its_way).over = true;
            }
        }
    }

    /// Up to `len` bytes; none at the end.
    pub(crate) fn read(
        body: &Shared<Incoming>,
        len: usize,
        state: &mut State,
        wait: bool,
    ) -> Result<Option<Vec<u8>>, ErrorCode> {
        Incoming::fetch(body, state, wait);
        let mut body = lock(body);
        let left = &body.buffer[body.taken..];
        if left.is_empty() {
            return match (&body.failed, &body.end) {
                (Some(failed), _) => Err(failed.clone()),
                (None, Some(_)) => Ok(None),
                (None, None) => Ok(Some(Vec::new())),
            };
        }
        let bytes = left[..left.len().min(len)].to_vec();
        body.taken += bytes.len();
        Ok(Some(bytes))
    }

    /// The trailers, once everything before them has come; what the guest did not read is passed over.
    pub(super) fn trailers(
        body: &Shared<Incoming>,
        state: &mut State,
        wait: bool,
    ) -> Option<Result<Fields, ErrorCode>> {
        loop {
            {
                let mut body = lock(body);
                body.taken = body.buffer.len();
                if let Some(failed) = &body.failed {
                    return Some(Err(failed.clone()));
                }
                if let Some(trailers) = &body.end {
                    return Some(Ok(trailers.clone()));
                }
            }
            Incoming::fetch(body, state, wait);
            if !lock(body).is_ready() {
                return None;
            }
        }
    }
}

impl OutgoingBody {
    /// The guest has let go of it.
    pub(crate) fn let_go(self, state: &mut State) {
        Outgoing::let_go(&self.0, state);
    }
}
