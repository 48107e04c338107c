use std::sync::{Arc, Mutex};

use stockade_ipc::{Answer, Ask, HttpRequest};
use stockade_policy::{HttpError, HttpScheme, HttpTarget};

use super::body::Outgoing;
use super::fields::Fields;
use super::response::Pending;
use super::wit::{ErrorCode, Scheme};
use super::{OnItsWay, Shared, lock};
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

    /// Decides, and has the host send it.
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
        // What the guest let go of makes room for this one.
        state.release_requests();
        let request = HttpRequest {
            method: self.method,
            scheme,
            authority,
            path,
            fields: self.fields.tell(),
            body: self.body.is_some(),
            patience: options.0,
        };
        let number = match state.ask(Ask::HttpSend { request }).0 {
            Answer::HttpSent(number) => number,
            other => return Err(ErrorCode::from(other)),
        };
        let on_its_way = OnItsWay::new(number, self.body.is_some(), &state.requests);
        if let Some(body) = self.body {
            // A body that the guest has let go of already ends the request here.
            let gone = lock(&body).is_lost();
            Outgoing::sent(&body, &on_its_way, state);
            if gone {
                OnItsWay::end(&on_its_way, state);
            }
        }
        Ok(Arc::new(Mutex::new(Pending::new(on_its_way))))
    }
}
