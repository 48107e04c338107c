//! Who waits for a worker of a plugin: callers are served in turns, each one's calls in their order, and no more wait than so
//! many.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake};
use std::thread::Thread;
use std::time::Instant;

use stockade_policy::stands;
use tokio::sync::oneshot;

/// In whose name a call is made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// Somebody whom the program that has the host tells from others.
    Somebody(u64),
    /// A plugin, by its name.
    Plugin(String),
}

/// The calls of one plugin that wait, and those that run.
#[derive(Debug)]
pub(crate) struct Line {
    state: Mutex<State>,
    /// One for each worker.
    all: u32,
    most: u32,
}

#[derive(Debug)]
struct State {
    /// Workers that nobody has. None while somebody waits.
    free: u32,
    waiting: u32,
    /// The calls that wait, each caller's oldest first.
    calls: HashMap<Who, VecDeque<oneshot::Sender<Word>>>,
    /// Callers with calls that wait; the first has the next turn.
    turns: VecDeque<Who>,
}

/// What becomes of a call that waits.
#[derive(Debug)]
enum Word {
    /// It is its turn.
    Turn,
    /// The line was full, and somebody with fewer calls in it has come.
    Displaced,
}

/// A call's turn; the next one's when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a>(&'a Line);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.next();
    }
}

/// Why a call does not get its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// So many wait already.
    Full(u32),
    /// Its time was over before.
    TooLate,
}

/// A call that waits, until this is dropped: one that nobody waits for any more leaves the line.
struct Place<'a> {
    line: &'a Line,
    who: Who,
    word: oneshot::Receiver<Word>,
    /// It has had its word, and is not in the line any more.
    told: bool,
}

impl<'a> Place<'a> {
    fn told(mut self, word: Result<Word, oneshot::error::RecvError>) -> Result<Turn<'a>, NoTurn> {
        self.told = true;
        match word {
            Ok(Word::Turn) => Ok(Turn(self.line)),
            // Nobody is taken out of the line without a word.
            Ok(Word::Displaced) | Err(_) => Err(NoTurn::Full(self.line.most)),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.told {
            return;
        }
        self.word.close();
        match self.word.try_recv() {
            // It came when nobody waited for it any more.
            Ok(Word::Turn) => self.line.next(),
            Ok(Word::Displaced) => {}
            Err(_) => self.line.state().forget(&self.who),
        }
    }
}

impl State {
    /// Takes a worker that nobody has.
    fn take(&mut self) -> Option<()> {
        self.free = self.free.checked_sub(1)?;
        Some(())
    }

    /// Hands the turn to whoever has it next; false where nobody waits.
    fn hand_over(&mut self) -> bool {
        while let Some(who) = self.turns.pop_front() {
            let calls = self.calls.get_mut(&who);
            let first = calls.and_then(VecDeque::pop_front);
            self.keep(who);
            if let Some(first) = first {
                self.waiting -= 1;
                if first.send(Word::Turn).is_ok() {
                    return true;
                }
            }
        }
        false
    }

    /// A caller that has calls which wait stands at the end; one that has none is forgotten.
    fn keep(&mut self, who: Who) {
        match self.calls.get(&who) {
            Some(calls) if !calls.is_empty() => self.turns.push_back(who),
            _ => drop(self.calls.remove(&who)),
        }
    }

    /// Takes out the calls of a caller that nobody waits for any more.
    fn forget(&mut self, who: &Who) {
        let Some(calls) = self.calls.get_mut(who) else { return };
        let before = calls.len();
        calls.retain(|call| !call.is_closed());
        self.waiting -= (before - calls.len()) as u32;
        if calls.is_empty() {
            self.calls.remove(who);
            self.turns.retain(|other| other != who);
        }
    }

    /// Makes room for a caller: the youngest call of whoever has the most in the line goes, if that are more than the caller
    /// would have then.
    fn displace(&mut self, who: &Who) -> bool {
        let own = self.calls.get(who).map_or(0, VecDeque::len);
        let longest = self.calls.iter_mut().max_by_key(|(_, calls)| calls.len());
        let Some((_, calls)) = longest.filter(|(_, calls)| calls.len() > own + 1) else { return false };
        let Some(youngest) = calls.pop_back() else { return false };
        self.waiting -= 1;
        // Nobody may wait for it any more, which makes room as well.
        let _ = youngest.send(Word::Displaced);
        true
    }
}

impl Line {
    /// For so many workers, and so many calls that wait for one.
    pub(crate) fn new(workers: u32, most: u32) -> Line {
        let state = State { free: workers, waiting: 0, calls: HashMap::new(), turns: VecDeque::new() };
        Line { state: Mutex::new(state), all: workers, most }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> u32 {
        self.state().waiting
    }

    /// How many have their turn.
    pub(crate) fn running(&self) -> u32 {
        self.all - self.state().free
    }

    /// A turn is over.
    fn next(&self) {
        let mut state = self.state();
        if !state.hand_over() {
            state.free += 1;
        }
    }

    /// A turn, where one can be had without waiting.
    pub(crate) fn try_enter(&self) -> Option<Turn<'_>> {
        self.state().take().map(|()| Turn(self))
    }

    /// A turn, or a place in the line.
    fn stand(&self, who: impl FnOnce() -> Who) -> Result<Result<Turn<'_>, Place<'_>>, NoTurn> {
        let mut state = self.state();
        if state.take().is_some() {
            return Ok(Ok(Turn(self)));
        }
        let who = who();
        if state.waiting >= self.most && stands("line.bound") {
            let waiting = state.waiting;
            if !stands("line.turns") || !state.displace(&who) {
                return Err(NoTurn::Full(waiting));
            }
        }
        let whose = if stands("line.turns") { who } else { Who::Somebody(0) };
        let (tell, word) = oneshot::channel();
        let calls = state.calls.entry(whose.clone()).or_default();
        calls.push_back(tell);
        let is_first = calls.len() == 1;
        state.waiting += 1;
        if is_first {
            state.turns.push_back(whose.clone());
        }
        Ok(Err(Place { line: self, who: whose, word, told: false }))
    }

    /// Waits in a task until it is this call's turn.
    pub(crate) async fn enter(&self, who: impl FnOnce() -> Who, until: Instant) -> Result<Turn<'_>, NoTurn> {
        let mut place = match self.stand(who)? {
            Ok(turn) => return Ok(turn),
            Err(place) => place,
        };
        match tokio::time::timeout_at(until.into(), &mut place.word).await {
            Ok(word) => place.told(word),
            Err(_) => Err(NoTurn::TooLate),
        }
    }

    /// Likewise on this thread.
    pub(crate) fn enter_blocking(
        &self,
        who: impl FnOnce() -> Who,
        until: Instant,
    ) -> Result<Turn<'_>, NoTurn> {
        let mut place = match self.stand(who)? {
            Ok(turn) => return Ok(turn),
            Err(place) => place,
        };
        match on_this_thread(&mut place.word, until) {
            Some(word) => place.told(word),
            None => Err(NoTurn::TooLate),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for something that needs no runtime; none where it has not come in time.
fn on_this_thread<F: Future>(future: F, until: Instant) -> Option<F::Output> {
    let mut future = pin!(future);
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        std::thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    fn somebody() -> Who {
        Who::Somebody(0)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn so_many_run_so_many_wait_and_the_rest_is_told() {
        let line = Line::new(1, 0);
        let turn = line.enter_blocking(somebody, soon()).expect("free");
        assert_eq!((line.running(), line.waiting()), (1, 0));
        assert_eq!(line.enter_blocking(somebody, soon()).expect_err("full"), NoTurn::Full(0));
        drop(turn);
        assert!(line.enter_blocking(somebody, soon()).is_ok());
    }

    #[test]
    fn who_waits_too_long_leaves_the_line() {
        let line = Line::new(1, 5);
        let _turn = line.enter_blocking(somebody, soon()).expect("free");
        let until = Instant::now() + Duration::from_millis(5);
        assert_eq!(line.enter_blocking(somebody, until).expect_err("late"), NoTurn::TooLate);
        assert_eq!(line.waiting(), 0);
    }

    /// Who has had a turn, in this order, of calls that came in that order while a turn was taken.
    fn served(line: &Line, calls: &[u64]) -> Vec<(u64, u32)> {
        let served = Mutex::new(Vec::new());
        let turn = line.enter_blocking(somebody, soon()).expect("free");
        std::thread::scope(|scope| {
            for (&who, number) in calls.iter().zip(0..) {
                let served = &served;
                scope.spawn(move || {
                    if let Ok(_turn) = line.enter_blocking(|| Who::Somebody(who), soon()) {
                        served.lock().expect("not poisoned").push((who, number));
                    }
                });
                while line.waiting() < (number + 1).min(line.most) {
                    std::thread::yield_now();
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            drop(turn);
        });
        assert_eq!((line.running(), line.waiting()), (0, 0));
        let state = line.state();
        assert!(state.calls.is_empty() && state.turns.is_empty(), "{state:?}");
        served.into_inner().expect("not poisoned")
    }

    #[test]
    fn a_callers_calls_are_served_in_their_order() {
        let all = served(&Line::new(1, 10), &[7; 5]);
        assert_eq!(all, [(7, 0), (7, 1), (7, 2), (7, 3), (7, 4)]);
    }

    #[test]
    fn callers_are_served_in_turns_whoever_has_called_most() {
        let all = served(&Line::new(1, 10), &[1, 1, 1, 1, 2, 3, 2]);
        assert_eq!(all, [(1, 0), (2, 4), (3, 5), (1, 1), (2, 6), (1, 2), (1, 3)]);
    }

    #[test]
    fn a_full_line_makes_room_for_those_who_have_less_in_it() {
        let all = served(&Line::new(1, 4), &[1, 1, 1, 1, 2, 2, 2]);
        // Two of the first caller's are displaced; a third of the second's finds the line full.
        assert_eq!(all, [(1, 0), (2, 4), (1, 1), (2, 5)]);
    }

    #[test]
    fn a_turn_that_nobody_waits_for_any_more_is_the_next_ones() {
        let line = Line::new(1, 10);
        let turn = line.enter_blocking(somebody, soon()).expect("free");
        let [first, second] = [(); 2].map(|()| line.stand(somebody).expect("room").expect_err("taken"));
        drop(turn);
        assert_eq!((line.running(), line.waiting()), (1, 1), "the first has it, and does not know");
        drop(first);
        assert_eq!((line.running(), line.waiting()), (1, 0), "the second has it");
        drop(second);
        assert_eq!((line.running(), line.waiting()), (0, 0));
    }
}
