//! `wasi:http`, outgoing: requests are built here and sent by the host, which is the only one with a network.

mod body;
mod fields;
mod link;
mod request;
mod response;
mod wit;

pub(crate) use body::{Incoming, IncomingBody, Outgoing, OutgoingBody, Trailers};
pub(crate) use fields::Fields;
pub(crate) use link::{handler, types};
pub(crate) use request::{Options, OutgoingRequest};
pub(crate) use response::{FutureResponse, IncomingResponse, Pending};
pub(crate) use wit::ErrorCode;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stockade_ipc::{Answer, Ask, HttpInterest};

use crate::state::State;

/// What two handles of a guest hold together.
pub(crate) type Shared<T> = Arc<Mutex<T>>;

/// One thread: nobody else holds it.
pub(crate) fn lock<T>(shared: &Shared<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Requests that nothing of the guest's refers to any more.
pub(crate) type Released = Shared<Vec<u32>>;

/// A request that the host has on its way. The last who holds it lets the host know.
pub(crate) struct OnItsWay {
    number: u32,
    /// Its body is not whole yet.
    uploading: bool,
    /// The host has forgotten it already.
    over: bool,
    released: Released,
}

impl OnItsWay {
    fn new(number: u32, uploading: bool, released: &Released) -> Shared<OnItsWay> {
        Arc::new(Mutex::new(OnItsWay { number, uploading, over: false, released: Arc::clone(released) }))
    }

    /// Its number, while the host knows it.
    fn live(&self) -> Option<u32> {
        (!self.over).then_some(self.number)
    }

    /// The whole response is here: the host forgets the request, unless its body still goes on.
    fn answered(&mut self) {
        self.over |= !self.uploading;
    }

    /// Ends it before its time.
    fn end(this: &Shared<OnItsWay>, state: &mut State) {
        let live = lock(this).live();
        if let Some(request) = live {
            lock(this).over = true;
            state.ask(Ask::HttpClose { request });
        }
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        if !self.over {
            lock(&self.released).push(self.number);
        }
    }
}

/// Something of a request that can be waited for.
#[derive(Clone)]
pub(crate) enum Event {
    Response(Shared<response::Pending>),
    Body(Shared<Incoming>),
    Room(Shared<Outgoing>),
}

impl Event {
    /// Whether there is nothing to wait for, as far as is known here.
    pub(crate) fn is_ready(&self) -> bool {
        match self {
            Self::Response(pending) => lock(pending).is_ready(),
            Self::Body(incoming) => lock(incoming).is_ready(),
            Self::Room(outgoing) => lock(outgoing).room() > 0,
        }
    }

    /// What the host is asked to wait for; none where only the guest itself can go on.
    pub(crate) fn interest(&self) -> Option<HttpInterest> {
        match self {
            Self::Response(pending) => lock(pending).number().map(HttpInterest::Arrival),
            Self::Body(incoming) => Some(HttpInterest::Arrival(lock(incoming).number())),
            Self::Room(outgoing) => lock(outgoing).number().map(HttpInterest::Room),
        }
    }

    /// The host says that there is something. What it is, is asked when the guest asks.
    pub(crate) fn came(&self) {
        match self {
            Self::Response(pending) => lock(pending).arrived(),
            Self::Body(incoming) => lock(incoming).arrived(),
            Self::Room(outgoing) => lock(outgoing).room_made(),
        }
    }

    /// Waits for this alone: for a response or a body, what comes is taken at once.
    pub(crate) fn wait(&self, state: &mut State) {
        match self {
            Self::Response(pending) => {
                send_all_but(Some(pending), state);
                Pending::fetch(pending, state, true);
            }
            Self::Body(incoming) => Incoming::fetch(incoming, state, true),
            Self::Room(_) => drop(wait(state, std::slice::from_ref(self), None)),
        }
    }
}

/// Has the host wait until something has come, or so many nanoseconds have passed. False where nothing here can
/// be waited for.
pub(crate) fn wait(state: &mut State, events: &[Event], nanoseconds: Option<u64>) -> bool {
    send_all(state);
    // What is known only now: a request that was refused, room that is there at once.
    if events.iter().any(Event::is_ready) {
        return true;
    }
    let on: Vec<_> = events.iter().filter_map(|event| Some((event, event.interest()?))).collect();
    if on.is_empty() {
        return false;
    }
    let interests = on.iter().map(|(_, interest)| *interest).collect();
    if let Answer::HttpReady(ready) = state.ask(Ask::HttpWait { on: interests, nanoseconds }).0 {
        on.iter().zip(ready).filter(|(_, ready)| *ready).for_each(|((event, _), _)| event.came());
    }
    true
}

/// Has the host send everything that the guest has handed over and not let go of since.
pub(crate) fn send_all(state: &mut State) {
    send_all_but(None, state);
}

fn send_all_but(this: Option<&Shared<Pending>>, state: &mut State) {
    for pending in std::mem::take(&mut state.unsent) {
        if Arc::strong_count(&pending) > 1 && this.is_none_or(|this| !Arc::ptr_eq(this, &pending)) {
            Pending::send(&pending, state, false);
        }
    }
}

impl State {
    /// Tells the host of the requests that the guest has let go of.
    pub(crate) fn release_requests(&mut self) {
        let released = std::mem::take(&mut *lock(&self.requests));
        for request in released {
            self.ask(Ask::HttpClose { request });
        }
    }
}
