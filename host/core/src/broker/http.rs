//! `http`: requests are the host's to send. It decides on the canonical target, looks the name up itself, and
//! hands the response back block by block.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use stockade_ipc::bounds::{HTTP_FIRST, HTTP_OPEN, WRITE};
use stockade_ipc::{Answer, Ask, Bytes as Block, HttpBody, HttpFault, HttpField, HttpInterest, HttpRequest};
use stockade_policy::{Budget, HttpTarget, Limits, Unit, stands};
use tokio::runtime::Handle;

use super::{Broker, Reply, denied};
use crate::egress::{Content, Egress, Event, Exchange, Order, Reach, fields};
use crate::ledger::{Held, Page};
use crate::secret::Secrets;
use crate::trail::{Trail, Unrecorded};

/// How long a request waits for a connection, for the first byte of a response, and between any two bytes, where
/// the plugin does not say. The call's deadline comes first in any case.
const PATIENCE: [Duration; 3] = [Duration::from_secs(10), Duration::from_secs(60), Duration::from_secs(60)];
/// No plugin's patience is longer.
const LONGEST: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The way out of one plugin.
#[derive(Debug)]
pub(crate) struct Http {
    egress: Arc<Egress>,
    reach: Reach,
    limits: Limits,
    secrets: Arc<Secrets>,
    /// Of the books; none where nothing is granted.
    page: Option<Page>,
    used: Mutex<Used>,
}

/// What a plugin has used up.
#[derive(Debug)]
struct Used {
    /// Until when the requests so far use the rate up, by the monotonic clock: nobody turns that back.
    rate_until: Instant,
    /// Bytes that were taken of the day and have not been sent or received yet.
    in_hand: u64,
    /// The last that was taken: what is in hand is of that.
    taken: Option<Held>,
}

/// Bytes that are taken of a day at once: the books are on a disk.
const PORTION: u64 = 4 << 20;

/// Requests of one worker that are on their way.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    open: BTreeMap<u32, Exchange>,
    last: u32,
    /// Bytes that the running call has sent and received.
    bytes: u64,
    /// Where they run; in threads of their own if it is not said.
    runtime: Option<Handle>,
}

/// What an ask has to wait for before it can be answered.
#[derive(Debug)]
pub(crate) struct Awaited {
    on: Vec<HttpInterest>,
    until: Option<Instant>,
}

impl Http {
    pub(crate) fn new(
        egress: Arc<Egress>,
        reach: Reach,
        limits: Limits,
        secrets: Secrets,
        page: Option<Page>,
    ) -> Http {
        let used = Mutex::new(Used { rate_until: Instant::now(), in_hand: 0, taken: None });
        Http { egress, reach, limits, secrets: Arc::new(secrets), page, used }
    }

    /// A way out that nothing may take.
    #[cfg(test)]
    pub(crate) fn none() -> Http {
        let limits = stockade_policy::Profile::of(stockade_policy::PluginType::Node).limits;
        let reach = Reach { opened: Arc::new([]), request_bytes: 0, response_bytes: 0 };
        Http::new(Arc::default(), reach, limits, Secrets::default(), None)
    }

    fn used(&self) -> std::sync::MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one request; false where it is one too many in this second.
    fn one_more(&self, now: Instant) -> bool {
        let Some(each) = Duration::from_secs(1).checked_div(self.limits.http_requests_per_second) else {
            return false;
        };
        let mut used = self.used();
        let until = used.rate_until.max(now) + each;
        let within = until - now <= Duration::from_secs(1);
        if within {
            used.rate_until = until;
        }
        within || !stands("http.rate")
    }

    /// Counts bytes, besides those that the call has had; which time it is that has no more, where one has not.
    fn bytes(&self, count: usize, of_call: &mut u64) -> Result<(), &'static str> {
        let count = count as u64;
        *of_call = of_call.saturating_add(count);
        let per_call = self.page.as_ref().map_or(0, |page| page.per_call.http_bytes);
        if *of_call > per_call && stands("http.bytes-a-call") {
            return Err("call");
        }
        let mut used = self.used();
        if count > used.in_hand {
            let missing = count - used.in_hand;
            let take = |http_bytes| {
                let taken = self.page.as_ref()?.take(Budget { http_bytes, ..Budget::default() })?;
                taken.ok().map(|taken| (http_bytes, taken))
            };
            let portion = Some(missing.max(PORTION)).and_then(take).or_else(|| take(missing));
            match portion {
                Some((bytes, taken)) => {
                    used.in_hand += bytes;
                    used.taken = Some(taken);
                }
                None if stands("http.bytes-a-day") => return Err("day"),
                None => used.in_hand = count,
            }
        }
        used.in_hand -= count;
        Ok(())
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        let used = self.used();
        if let (Some(page), Some(taken), http_bytes @ 1..) = (&self.page, &used.taken, used.in_hand) {
            page.give_back(taken, Budget { http_bytes, ..Budget::default() });
        }
    }
}

impl Requests {
    /// Where the next one runs.
    fn place(&self, egress: &Egress) -> io::Result<Handle> {
        self.runtime.clone().map_or_else(|| egress.runtime().cloned(), Ok)
    }

    /// Has requests run there from here on.
    pub(crate) fn run_in(&mut self, runtime: Option<Handle>) {
        self.runtime = runtime;
    }

    /// Whether an ask wants to be answered at once, with what is there by then.
    pub(crate) const fn looks(ask: &Ask) -> bool {
        matches!(ask, Ask::HttpHead { wait: false, .. } | Ask::HttpRead { wait: false, .. })
    }

    /// A call begins, which has sent and received nothing yet.
    pub(crate) fn begin_call(&mut self) {
        self.bytes = 0;
    }

    /// What has to come before the ask can be answered; none where nothing has.
    pub(crate) fn awaited(&mut self, ask: &Ask) -> Option<Awaited> {
        let (on, until) = match ask {
            Ask::HttpWrite { request, .. } | Ask::HttpFinish { request, .. } => {
                (vec![HttpInterest::Room(*request)], None)
            }
            Ask::HttpHead { request, wait: true } | Ask::HttpRead { request, wait: true } => {
                (vec![HttpInterest::Arrival(*request)], None)
            }
            Ask::HttpWait { on, nanoseconds } => {
                (on.clone(), nanoseconds.map(|most| Instant::now() + Duration::from_nanos(most).min(DAY)))
            }
            _ => return None,
        };
        // What is ready, or is not there, is answered at once.
        let ready = on.is_empty() || on.iter().any(|on| self.is_ready(on));
        (!ready).then_some(Awaited { on, until })
    }

    fn is_ready(&mut self, on: &HttpInterest) -> bool {
        match *on {
            HttpInterest::Arrival(request) => self.open.get_mut(&request).is_none_or(|exchange| {
                exchange.poll_event(&mut Context::from_waker(Waker::noop())).is_ready()
            }),
            HttpInterest::Room(request) => {
                self.open.get(&request).is_none_or(|exchange| !exchange.uploads() || exchange.room() > 0)
            }
        }
    }

    /// Done once one of what is awaited has come, or the time has.
    pub(crate) async fn come(&mut self, awaited: &Awaited, egress: &Egress) {
        let mut rooms: Vec<_> = awaited
            .on
            .iter()
            .filter_map(|on| match on {
                HttpInterest::Room(request) => Some(Box::pin(self.open.get(request)?.room_made())),
                HttpInterest::Arrival(_) => None,
            })
            .collect();
        let arrivals: Vec<_> = awaited
            .on
            .iter()
            .filter_map(|on| match on {
                HttpInterest::Arrival(request) => Some(*request),
                HttpInterest::Room(_) => None,
            })
            .collect();
        let until = awaited.until.map(|until| (until, self.place(egress)));
        let any = std::future::poll_fn(|cx| {
            let mut ready = rooms.iter_mut().any(|room| room.as_mut().poll(cx).is_ready());
            for request in &arrivals {
                let come = self.open.get_mut(request).is_none_or(|it| it.poll_event(cx).is_ready());
                ready |= come;
            }
            if ready { Poll::Ready(()) } else { Poll::Pending }
        });
        match until {
            None => any.await,
            Some((until, runtime)) => {
                // The clock of the runtime that requests run in: the caller's may have none.
                let clock = runtime.map(|runtime| {
                    let _entered = runtime.enter();
                    tokio::time::sleep_until(until.into())
                });
                let Ok(clock) = clock else { return };
                tokio::select! { () = any => {}, () = clock => {} }
            }
        }
    }

    /// Everything is over.
    pub(crate) fn clear(&mut self) {
        self.open.clear();
    }
}

impl Broker {
    pub(super) fn http_send(
        &self,
        request: &HttpRequest,
        requests: &mut Requests,
        trail: &Arc<Trail>,
    ) -> Result<Reply, Unrecorded> {
        let HttpRequest { method, scheme, authority, path, fields: wanted, body, patience } = request;
        let target = match HttpTarget::parse(method, *scheme, authority, path) {
            Ok(target) => target,
            // The worker looks first; this one went past it.
            Err(error) => {
                trail.malformed_request(&format!("{method} {authority}{path}"), error.to_string())?;
                return denied();
            }
        };
        let ask = stockade_policy::Ask::Http { target: &target };
        let Some(rule) = self.allowed(&ask, trail)? else { return denied() };
        let mut filled = Vec::with_capacity(wanted.len());
        for (name, Block(value)) in wanted {
            let Some(value) = self.http.secrets.fill(value, &target, trail)? else { return denied() };
            filled.push((name.clone(), Block(value.to_vec())));
        }
        let Some((mut fields, promised)) = fields(&filled) else {
            trail.malformed_request(target.as_str(), "a field that no request may have".to_owned())?;
            return denied();
        };
        let full = requests.open.len() >= HTTP_OPEN && stands("http.open");
        if full || !self.http.one_more(Instant::now()) {
            let why = if full { "too many requests at once" } else { "too many requests a second" };
            trail.over_budget(target.as_str(), why)?;
            return failed(HttpFault::LimitReached);
        }
        let body = match body {
            HttpBody::Follows => Content::Follows(promised),
            HttpBody::None => Content::Whole(Bytes::new()),
            HttpBody::Whole(bytes) => match self.http.bytes(bytes.0.len(), &mut requests.bytes) {
                Ok(()) => Content::Whole(Bytes::copy_from_slice(&bytes.0)),
                Err(of) => return self.no_bytes_left(of, trail),
            },
        };
        if let Content::Whole(bytes) = &body
            && promised.is_some_and(|promised| promised != bytes.len() as u64)
        {
            return failed(HttpFault::RequestBodySize);
        }
        trail.allowed(&ask, &rule)?;
        let [connect, first_byte, between] = std::array::from_fn(|which| {
            patience[which].map_or(PATIENCE[which], |asked| Duration::from_nanos(asked).min(LONGEST))
        });
        let secrets = self.http.secrets.reach(&target).then(|| Arc::clone(&self.http.secrets));
        // Kept out of the tables that HTTP/2 compresses fields with.
        fields.values_mut().for_each(|value| value.set_sensitive(secrets.is_some()));
        let order = Order {
            target,
            fields,
            body,
            patience: [connect, first_byte, between],
            reach: self.http.reach.clone(),
            secrets,
        };
        let egress = Arc::clone(&self.http.egress);
        let Ok(runtime) = requests.place(&egress) else { return failed(HttpFault::Internal) };
        let exchange = Exchange::start(&runtime, egress, order, Arc::clone(trail));
        // Numbers are not used again, so that none is mistaken for another.
        requests.last = requests.last.wrapping_add(1);
        requests.open.insert(requests.last, exchange);
        Ok((Answer::HttpSent(requests.last), None))
    }

    /// The body of a request, block by block. Whoever asks has waited for room.
    pub(super) fn http_write(
        &self,
        request: u32,
        bytes: &[u8],
        requests: &mut Requests,
        trail: &Trail,
    ) -> Result<Reply, Unrecorded> {
        let Some(exchange) = requests.open.get(&request) else { return unknown(request, trail) };
        if let Err(of) = self.http.bytes(bytes.len(), &mut requests.bytes) {
            requests.open.remove(&request);
            return self.no_bytes_left(of, trail);
        }
        if !exchange.upload(Bytes::copy_from_slice(bytes)) {
            return failed(HttpFault::Terminated);
        }
        room(exchange)
    }

    pub(super) fn http_finish(
        &self,
        request: u32,
        trailers: &[HttpField],
        requests: &mut Requests,
        trail: &Trail,
    ) -> Result<Reply, Unrecorded> {
        let Some(exchange) = requests.open.get_mut(&request) else { return unknown(request, trail) };
        let Some((trailers, None)) = fields(trailers) else {
            trail.malformed_request("trailers", "a field that no request may have".to_owned())?;
            return denied();
        };
        if exchange.finish(trailers) { room(exchange) } else { failed(HttpFault::Internal) }
    }

    /// The head of a response, and what there is of its body already.
    pub(super) fn http_head(
        &self,
        request: u32,
        requests: &mut Requests,
        trail: &Trail,
    ) -> Result<Reply, Unrecorded> {
        let Some(exchange) = requests.open.get_mut(&request) else { return unknown(request, trail) };
        match exchange.next() {
            Some(Event::Head { status, fields }) => {
                let (first, end) = match self.part(request, HTTP_FIRST, requests, trail)? {
                    Ok(part) => part,
                    Err(reply) => return Ok(reply),
                };
                Ok((Answer::HttpHead { request, status, fields, first, end }, None))
            }
            None => Ok((Answer::HttpPending, None)),
            Some(event) => self.ended(request, event, requests),
        }
    }

    /// A part of a response's body.
    pub(super) fn http_read(
        &self,
        request: u32,
        requests: &mut Requests,
        trail: &Trail,
    ) -> Result<Reply, Unrecorded> {
        if !requests.open.contains_key(&request) {
            return unknown(request, trail);
        }
        Ok(match self.part(request, WRITE, requests, trail)? {
            Ok((bytes, None)) if bytes.0.is_empty() => (Answer::HttpPending, None),
            Ok((bytes, end)) => (Answer::HttpBody { bytes, end }, None),
            Err(reply) => reply,
        })
    }

    /// Which of the requests have something for the worker.
    pub(super) fn http_ready(&self, on: &[HttpInterest], requests: &mut Requests) -> Reply {
        (Answer::HttpReady(on.iter().map(|on| requests.is_ready(on)).collect()), None)
    }

    /// The worker wants nothing more of it.
    pub(super) fn http_close(
        &self,
        request: u32,
        requests: &mut Requests,
        trail: &Trail,
    ) -> Result<Reply, Unrecorded> {
        match requests.open.remove(&request) {
            Some(_) => Ok((Answer::HttpPending, None)),
            None => unknown(request, trail),
        }
    }

    /// Up to `most` bytes of what has arrived, and the trailers at the end.
    #[expect(clippy::type_complexity, reason = "a part is bytes and perhaps an end")]
    fn part(
        &self,
        request: u32,
        most: usize,
        requests: &mut Requests,
        trail: &Trail,
    ) -> Result<Result<(Block, Option<Vec<HttpField>>), Reply>, Unrecorded> {
        let mut bytes = Vec::new();
        while let Some(exchange) = requests.open.get_mut(&request) {
            match exchange.next() {
                Some(Event::Body(mut block)) => {
                    let rest = block.split_off(block.len().min(most - bytes.len()));
                    bytes.extend_from_slice(&block);
                    if !rest.is_empty() {
                        exchange.put_back(Event::Body(rest));
                        break;
                    }
                }
                Some(Event::End(trailers)) => {
                    if !exchange.uploads() {
                        requests.open.remove(&request);
                    }
                    return self.counted(request, (Block(bytes), Some(trailers)), requests, trail);
                }
                // What went wrong comes after what arrived before it.
                Some(event) if !bytes.is_empty() => {
                    exchange.put_back(event);
                    break;
                }
                Some(event) => return Ok(Err(self.ended(request, event, requests)?)),
                None => break,
            }
        }
        self.counted(request, (Block(bytes), None), requests, trail)
    }

    #[expect(clippy::type_complexity, reason = "a part is bytes and perhaps an end")]
    fn counted(
        &self,
        request: u32,
        part: (Block, Option<Vec<HttpField>>),
        requests: &mut Requests,
        trail: &Trail,
    ) -> Result<Result<(Block, Option<Vec<HttpField>>), Reply>, Unrecorded> {
        match self.http.bytes(part.0.0.len(), &mut requests.bytes) {
            Ok(()) => Ok(Ok(part)),
            Err(of) => {
                requests.open.remove(&request);
                Ok(Err(self.no_bytes_left(of, trail)?))
            }
        }
    }

    /// What else comes in place of a head or a body.
    fn ended(&self, request: u32, event: Event, requests: &mut Requests) -> Result<Reply, Unrecorded> {
        requests.open.remove(&request);
        match event {
            Event::Failed(fault) => failed(fault),
            Event::Unrecorded(error) => Err(error),
            // A body before its head, or a head after it, which no exchange sends.
            Event::Head { .. } | Event::Body(_) | Event::End(_) => failed(HttpFault::Internal),
        }
    }

    fn no_bytes_left(&self, of: &'static str, trail: &Trail) -> Result<Reply, Unrecorded> {
        trail.exhausted(("http", ""), Unit::HttpBytes, of)?;
        failed(HttpFault::LimitReached)
    }

    /// What requests share.
    pub(crate) fn egress(&self) -> &Arc<Egress> {
        &self.http.egress
    }
}

fn failed(fault: HttpFault) -> Result<Reply, Unrecorded> {
    Ok((Answer::HttpFailed(fault), None))
}

fn room(exchange: &Exchange) -> Result<Reply, Unrecorded> {
    let bytes = u32::try_from(exchange.room() * WRITE).unwrap_or(u32::MAX);
    Ok((Answer::HttpRoom(bytes), None))
}

fn unknown(request: u32, trail: &Trail) -> Result<Reply, Unrecorded> {
    trail.unknown_request(request)?;
    denied()
}

#[cfg(test)]
mod tests {
    use stockade_policy::{PluginType, Profile};

    use super::*;
    use crate::ledger::Ledger;

    fn counted(state: &std::path::Path, call: u64, day: u64) -> Http {
        let ledger = Arc::new(Ledger::open(state).unwrap());
        let budgets = [call, day].map(|http_bytes| Budget { http_bytes, ..Budget::default() });
        let mut http = Http::none();
        http.limits = Profile::of(PluginType::Integration).limits;
        http.page = Some(Page::new(ledger, "p", budgets));
        http
    }

    #[test]
    fn d14_bytes_are_counted_by_the_day_for_all_of_a_plugins_lives() {
        let state = tempfile::tempdir().unwrap();
        let call = &mut 0;
        let first = counted(state.path(), u64::MAX, 100);
        assert_eq!(first.bytes(60, call), Ok(()));
        assert_eq!(first.bytes(41, call), Err("day"));
        // What was taken ahead is given back, and what was used is not.
        drop(first);
        let second = counted(state.path(), u64::MAX, 10 * PORTION);
        assert_eq!(second.bytes(1, call), Ok(()));
        drop(second);
        let third = counted(state.path(), u64::MAX, 100);
        assert_eq!(third.bytes(39, call), Ok(()));
        assert_eq!(third.bytes(1, call), Err("day"));
        assert_eq!(third.bytes(0, call), Ok(()));
        assert_eq!(Http::none().bytes(1, &mut 0), Err("call"));
    }

    #[test]
    fn d14_bytes_are_counted_by_the_call() {
        let state = tempfile::tempdir().unwrap();
        let http = counted(state.path(), 100, 1_000);
        let call = &mut 0;
        assert_eq!(http.bytes(100, call), Ok(()));
        assert_eq!(http.bytes(1, call), Err("call"));
        // No sum is too large to be compared.
        assert_eq!(http.bytes(usize::MAX, call), Err("call"));
        assert_eq!(http.bytes(usize::MAX, call), Err("call"));
        assert_eq!(http.bytes(100, &mut 0), Ok(()));
    }

    #[test]
    fn d14_requests_are_counted_by_the_second() {
        let mut http = Http::none();
        let began = Instant::now();
        assert!(!http.one_more(began), "a profile without requests");
        http.limits = Limits { http_requests_per_second: 5, ..Profile::of(PluginType::Integration).limits };
        http.used().rate_until = began;
        let allowed = |at| (0..20).filter(|_| http.one_more(at)).count();
        assert_eq!(allowed(began), 5);
        assert_eq!(allowed(began + Duration::from_millis(400)), 2);
        assert_eq!(allowed(began + Duration::from_secs(10)), 5);
    }
}
