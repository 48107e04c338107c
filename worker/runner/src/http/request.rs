use std::sync::{Arc, Mutex};

use stockade_ipc::bounds::HTTP_OPEN;
use stockade_ipc::{Answer, Ask, HttpBody, HttpFault, HttpRequest};
use stockade_policy::{HttpError, HttpScheme, HttpTarget};

use super::body::Outgoing;
use super::fields::Fields;
use super::response::Pending;
use super::wit::{ErrorCode, Scheme};
use super::{OnItsWay, Shared, lock, send_all};
use crate::state::State;

/// `outgoing-request`
pub(crate) struct OutgoingRequest {
    pub(super) method: String,
    pub(super) scheme: Option<Scheme>,
    pub(super) authority: Option<String>,
    pub(super) path: Option<String>,
    pub(super) fields: Fields,
    pub(super) body: Option<Shared<Outgoing>>,
}

/// `request-options`: how long to wait, in nanoseconds, for a connection, the first byte, between bytes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Options(pub(super) [Option<u64>; 3]);

impl OutgoingRequest {
    pub(super) fn new(fields: Fields) -> OutgoingRequest {
        let fields = Fields { immutable: true, ..fields };
        OutgoingRequest {
            method: "GET".to_owned(),
            scheme: None,
            authority: None,
            path: None,
            fields,
            body: None,
        }
    }

    /// The body, once.
    pub(super) fn body(&mut self) -> Option<Shared<Outgoing>> {
        if self.body.is_some() {
            return None;
        }
        let body = Arc::new(Mutex::new(Outgoing::new(self.fields.content_length())));
        self.body = Some(Arc::clone(&body));
        Some(body)
    }

    /// Decides, and makes it ready to be sent.
    pub(super) fn send(self, options: Options, state: &mut State) -> Result<Shared<Pending>, ErrorCode> {
        let scheme = match self.scheme {
            None | Some(Scheme::Https) => HttpScheme::Https,
            Some(Scheme::Http) => HttpScheme::Http,
            Some(Scheme::Other(_)) => return Err(ErrorCode::HttpRequestUriInvalid),
        };
        let authority = self.authority.unwrap_or_default();
        let path = self.path.unwrap_or_default();
        let target = HttpTarget::parse(&self.method, scheme, &authority, &path).map_err(|error| {
            let rule = stockade_policy::Rule::built_in("http.target");
            state.refused("http", &format!("{} {authority}{path}", self.method), rule, &error.to_string());
            match error {
                HttpError::Method => ErrorCode::HttpRequestMethodInvalid,
                _ => ErrorCode::HttpRequestUriInvalid,
            }
        })?;
        let ask = stockade_policy::Ask::Http { target: &target };
        state.decide(&ask).map_err(|_| ErrorCode::HttpRequestDenied)?;
        let request = HttpRequest {
            method: self.method,
            scheme,
            authority,
            path,
            fields: self.fields.tell(),
            body: HttpBody::None,
            patience: options.0,
        };
        let pending = Arc::new(Mutex::new(Pending::new(Unsent { request, body: self.body })));
        if state.unsent.len() >= HTTP_OPEN {
            send_all(state);
        }
        state.unsent.push(Arc::clone(&pending));
        Ok(pending)
    }
}

/// A request that the guest has handed over and the host has not got yet. It goes with the first thing that the
/// guest waits for: many have a body that is whole by then, and a response that is waited for at once, and one
/// ask is enough for all that.
pub(super) struct Unsent {
    request: HttpRequest,
    body: Option<Shared<Outgoing>>,
}

impl Unsent {
    /// Has the host send it, and wait for the response if that is wanted and everything is there for it.
    pub(super) fn send(self, state: &mut State, wait: bool) -> (Answer, Option<Shared<OnItsWay>>) {
        // What the guest let go of makes room for this one.
        state.release_requests();
        let Unsent { mut request, body } = self;
        if let Some(body) = &body {
            let mut body = lock(body);
            if body.is_lost() {
                return (Answer::HttpFailed(HttpFault::Terminated), None);
            }
            request.body = body.content();
        }
        let follows = request.body == HttpBody::Follows;
        let answer = state.ask(Ask::HttpSend { request, wait: wait && !follows }).0;
        let number = match &answer {
            Answer::HttpSent(number) | Answer::HttpHead { request: number, .. } => *number,
            _ => return (answer, None),
        };
        let on_its_way = OnItsWay::new(number, follows, &state.requests);
        if let Some(body) = &body {
            Outgoing::sent(body, &on_its_way, state);
        }
        (answer, Some(on_its_way))
    }
}
