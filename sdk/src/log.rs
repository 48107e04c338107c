//! Lines for the operator: `log::info!("scanned {n} files")`.
//!
//! The host shows them with the plugin's identity, escapes them, cuts them at 4 KiB and limits their
//! rate. A plugin without the `log` grant may call these all the same; the lines are dropped. In a
//! test on the author's machine the lines go to stderr.

pub use crate::bindings::stockade::plugin::log::Level;

/// Writes one line. The macros are shorter.
pub fn write(level: Level, message: &str) {
    if cfg!(target_family = "wasm") {
        crate::bindings::stockade::plugin::log::write(level, message);
    } else {
        eprintln!("{level:?}: {message}");
    }
}

/// Writes one line with values beside it, by name, for programs that read logs.
pub fn write_fields(level: Level, message: &str, fields: &[(&str, &str)]) {
    if cfg!(target_family = "wasm") {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        crate::bindings::stockade::plugin::log::write_fields(level, message, &fields);
    } else {
        eprintln!("{level:?}: {message} {fields:?}");
    }
}

pub use crate::{
    __log_debug as debug, __log_error as error, __log_info as info, __log_trace as trace, __log_warn as warn,
};

#[doc(hidden)]
#[macro_export]
macro_rules! __log_at {
    ($level:ident, $($format:tt)+) => {
        $crate::log::write($crate::log::Level::$level, &::std::format!($($format)+))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __log_trace { ($($format:tt)+) => { $crate::__log_at!(Trace, $($format)+) }; }
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug { ($($format:tt)+) => { $crate::__log_at!(Debug, $($format)+) }; }
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info { ($($format:tt)+) => { $crate::__log_at!(Info, $($format)+) }; }
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn { ($($format:tt)+) => { $crate::__log_at!(Warn, $($format)+) }; }
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error { ($($format:tt)+) => { $crate::__log_at!(Error, $($format)+) }; }
