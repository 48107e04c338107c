//! The one thread that keeps plugins as they are wanted: workers that died are started again, idle ones ended.
//! It sleeps until something is due.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::plugin::WeakPlugin;
use crate::registry::Number;

/// Somebody who has something to keep.
#[derive(Debug)]
pub(crate) struct Keeper {
    notices: Mutex<Option<Sender<Look>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Who is told when one of a plugin's workers has ended.
#[derive(Debug)]
pub(crate) struct Notice {
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) number: Number,
    pub(crate) plugin: WeakPlugin,
}

impl Notice {
    pub(crate) fn send(&self) {
        self.keeper.look_at(self.number, self.plugin.clone());
    }
}

/// This plugin should be looked at.
type Look = (Number, WeakPlugin);

impl Keeper {
    pub(crate) fn start() -> io::Result<Keeper> {
        let (notices, noticed) = mpsc::channel();
        let thread =
            std::thread::Builder::new().name("stockade-keep".to_owned()).spawn(move || keep(&noticed))?;
        Ok(Keeper { notices: Mutex::new(Some(notices)), thread: Mutex::new(Some(thread)) })
    }

    /// Has a plugin looked at soon.
    pub(crate) fn look_at(&self, number: Number, plugin: WeakPlugin) {
        if let Some(notices) = &*self.notices.lock().unwrap_or_else(PoisonError::into_inner) {
            // Nobody keeps anything any more: the host is being stopped.
            let _ = notices.send((number, plugin));
        }
    }

    /// Whether it still keeps.
    pub(crate) fn runs(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Ends the thread, after what it is at.
    pub(crate) fn stop(&self) {
        drop(self.notices.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The last plugin may be let go of by this very thread.
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop();
    }
}

fn keep(noticed: &Receiver<Look>) {
    // A plugin has one time at which it is looked at; with a few thousand of them a walk is quick.
    let mut due: BTreeMap<Number, (Instant, WeakPlugin)> = BTreeMap::new();
    loop {
        let next = due.values().map(|(at, _)| *at).min();
        let notice = match next {
            None => noticed.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => noticed.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match notice {
            Ok((number, plugin)) => drop(due.insert(number, (Instant::now(), plugin))),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // Several are often noticed together.
        while let Ok((number, plugin)) = noticed.try_recv() {
            due.insert(number, (Instant::now(), plugin));
        }
        let now = Instant::now();
        let ready: Vec<Number> =
            due.iter().filter(|(_, (at, _))| *at <= now).map(|(number, _)| *number).collect();
        for number in ready {
            let Some((_, weak)) = due.remove(&number) else { continue };
            let Some(plugin) = weak.upgrade() else { continue };
            if let Some(at) = plugin.tend(Instant::now()) {
                due.insert(number, (at, weak));
            }
        }
    }
}
