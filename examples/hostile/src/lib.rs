//! Each tool tries one bad thing and tells what came of it. Nothing here is meant to succeed; what does
//! not come back at all (`endless_loop`, `trap`, ...) is for the host to end.

#![cfg(target_os = "wasi")]

mod attempt;
mod exhaust;
mod files;
mod network;

use attempt::Attempt;
use stockade_sdk::ToolError;

/// A tool without arguments.
macro_rules! plain {
    ($($module:ident::$name:ident),+ $(,)?) => {
        mod plain {
            use super::*;
            $(pub(super) fn $name(_: Nothing) -> Result<Attempt, ToolError> {
                Ok($module::$name())
            })+
        }
    };
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

plain! {
    files::read_outside, files::dot_dot, files::write,
    network::tcp_connect, network::udp, network::dns, network::http,
    exhaust::endless_loop, exhaust::memory_bomb, exhaust::log_flood, exhaust::deep_recursion,
    exhaust::stdout_flood, exhaust::sleep_forever, exhaust::trap,
}

stockade_sdk::tools! {
    "read_outside" => plain::read_outside,
    "dot_dot" => plain::dot_dot,
    "symlink" => files::symlink,
    "write" => plain::write,
    "tcp_connect" => plain::tcp_connect,
    "udp" => plain::udp,
    "dns" => plain::dns,
    "http" => plain::http,
    "endless_loop" => plain::endless_loop,
    "memory_bomb" => plain::memory_bomb,
    "log_flood" => plain::log_flood,
    "deep_recursion" => plain::deep_recursion,
    "stdout_flood" => plain::stdout_flood,
    "sleep_forever" => plain::sleep_forever,
    "trap" => plain::trap,
    "huge_result" => exhaust::huge_result,
}
