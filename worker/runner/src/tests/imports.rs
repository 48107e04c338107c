use std::time::{Duration, Instant};

use stockade_ipc::{Answer, Outcome};
use stockade_policy::Scope;

use super::{call, link_error, plugin, trap_code};

#[test]
fn c12_an_unknown_import_is_named() {
    let text = r#"(component (import "evil:things/do@1.0.0" (instance (export "it" (func)))))"#;
    assert_eq!(link_error(text), "unknown import evil:things/do@1.0.0");
    let text = r#"(component (import "wasi:random/random@0.3.0" (instance (export "it" (func)))))"#;
    assert_eq!(link_error(text), "unknown import wasi:random/random@0.3.0");
    let text = r#"(component (import "wasi:random/random@0.2.0" (instance (export "no-such" (func)))))"#;
    assert_eq!(link_error(text), "unknown import wasi:random/random@0.2.0 no-such");
    let text = r#"(component (import "bare" (func)))"#;
    assert_eq!(link_error(text), "unknown import bare");
}

#[test]
fn c12_a_known_import_of_another_type_is_refused() {
    let text = r#"(component (import "wasi:random/random@0.2.0"
        (instance (export "get-random-u64" (func (param "x" string))))))"#;
    assert!(link_error(text).contains("get-random-u64"), "{}", link_error(text));
}

/// A component that calls one function without parameters and returns its number.
fn asks(interface: &str, function: &str) -> String {
    format!(
        r#"(component
            (import "{interface}" (instance $i (export "{function}" (func (result u64)))))
            (core func $f (canon lower (func $i "{function}")))
            (core module $m
                (import "i" "f" (func $f (result i64)))
                (func (export "f") (result i64) (call $f)))
            (core instance $c (instantiate $m (with "i" (instance (export "f" (func $f))))))
            (func (export "f") (result u64) (canon lift (core func $c "f"))))"#
    )
}

#[test]
fn every_patch_of_wasi_0_2_links() {
    for patch in 0..=12 {
        let text = asks(&format!("wasi:random/random@0.2.{patch}"), "get-random-u64");
        let (mut plugin, _) = plugin(&text, &[Scope::Random], false);
        assert!(matches!(call(&mut plugin, "f", "{}"), Outcome::Value(_)));
    }
}

#[test]
fn clock_and_random_without_a_grant_are_denied_and_recorded() {
    let cases = [
        ("wasi:random/random@0.2.0", "get-random-u64", "random"),
        ("wasi:clocks/monotonic-clock@0.2.0", "now", "clock"),
    ];
    for (interface, function, operation) in cases {
        let (mut plugin, notes) = plugin(&asks(interface, function), &[], false);
        let Outcome::Trap(trap) = call(&mut plugin, "f", "{}") else { panic!("nothing is granted") };
        assert_eq!(trap.code, "denied");
        assert!(trap.message.starts_with("denied: "), "{}", trap.message);
        let rule = format!("default-deny:{operation} (built-in)");
        assert_eq!(notes.refusals(), [(operation.to_owned(), String::new(), rule)]);
    }
}

#[test]
fn c10_a_gigabyte_of_random_bytes_is_refused() {
    let text = r#"(component
        (import "wasi:random/random@0.2.0" (instance $i
            (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
        (core module $memory
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64)))
        (core instance $mem (instantiate $memory))
        (alias core export $mem "memory" (core memory $memory))
        (alias core export $mem "realloc" (core func $realloc))
        (core func $f (canon lower (func $i "get-random-bytes") (memory $memory) (realloc $realloc)))
        (core module $m
            (import "i" "f" (func $f (param i64 i32)))
            (func (export "f") (call $f (i64.const 1_073_741_824) (i32.const 0))))
        (core instance $c (instantiate $m (with "i" (instance (export "f" (func $f))))))
        (func (export "f") (canon lift (core func $c "f"))))"#;
    let (mut plugin, _) = plugin(text, &[Scope::Random], false);
    assert_eq!(trap_code(call(&mut plugin, "f", "{}")), "excess");
}

const WAITS: &str = r#"(component
    (import "wasi:io/poll@0.2.6" (instance $poll
        (export "pollable" (type $pollable (sub resource)))
        (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
    (alias export $poll "pollable" (type $pollable))
    (import "wasi:clocks/monotonic-clock@0.2.6" (instance $clock
        (export "pollable" (type $p (eq $pollable)))
        (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
    (core func $block (canon lower (func $poll "[method]pollable.block")))
    (core func $subscribe (canon lower (func $clock "subscribe-duration")))
    (core module $m
        (import "i" "block" (func $block (param i32)))
        (import "i" "subscribe" (func $subscribe (param i64) (result i32)))
        (func (export "wait") (param i64) (call $block (call $subscribe (local.get 0))))
        (func (export "hoard") (loop (drop (call $subscribe (i64.const 0))) (br 0))))
    (core instance $c (instantiate $m (with "i" (instance
        (export "block" (func $block)) (export "subscribe" (func $subscribe))))))
    (func (export "wait") (param "for" u64) (canon lift (core func $c "wait")))
    (func (export "hoard") (canon lift (core func $c "hoard"))))"#;

#[test]
fn a_wait_takes_its_time() {
    let (mut plugin, _) = plugin(WAITS, &[Scope::Clock], false);
    let before = Instant::now();
    assert_eq!(call(&mut plugin, "wait", r#"{"for":20000000}"#), Outcome::Value("null".to_owned()));
    assert!(before.elapsed() >= Duration::from_millis(20));
}

#[test]
fn c9_a_million_handles_end_in_an_error() {
    let (mut plugin, _) = plugin(WAITS, &[Scope::Clock], false);
    assert_eq!(trap_code(call(&mut plugin, "hoard", "{}")), "resource");
}

#[test]
fn sockets_answer_access_denied_and_leave_a_record() {
    let text = r#"(component
        (import "wasi:sockets/network@0.2.3" (instance $network
            (type $family' (enum "ipv4" "ipv6"))
            (export "ip-address-family" (type $family (eq $family')))
            (type $error' (enum "unknown" "access-denied" "not-supported"))
            (export "error-code" (type $error (eq $error')))))
        (alias export $network "ip-address-family" (type $family))
        (alias export $network "error-code" (type $error))
        (import "wasi:sockets/tcp@0.2.3" (instance $tcp
            (export "tcp-socket" (type (sub resource)))))
        (alias export $tcp "tcp-socket" (type $socket))
        (import "wasi:sockets/tcp-create-socket@0.2.3" (instance $create
            (export "tcp-socket" (type $s (eq $socket)))
            (export "ip-address-family" (type $f (eq $family)))
            (export "error-code" (type $e (eq $error)))
            (export "create-tcp-socket"
                (func (param "address-family" $f) (result (result (own $s) (error $e)))))))
        (core module $memory (memory (export "memory") 1))
        (core instance $mem (instantiate $memory))
        (alias core export $mem "memory" (core memory $memory))
        (core func $f (canon lower (func $create "create-tcp-socket") (memory $memory)))
        (core module $m
            (import "i" "memory" (memory 1))
            (import "i" "f" (func $f (param i32 i32)))
            ;; 256 where it failed, and the number of the error.
            (func (export "f") (result i32)
                (call $f (i32.const 1) (i32.const 16))
                (i32.add
                    (i32.mul (i32.load8_u (i32.const 16)) (i32.const 256))
                    (i32.load8_u (i32.const 20)))))
        (core instance $c (instantiate $m (with "i" (instance
            (export "memory" (memory $memory)) (export "f" (func $f))))))
        (func (export "f") (result u32) (canon lift (core func $c "f"))))"#;
    let (mut plugin, notes) = plugin(text, &[Scope::Log], false);
    assert_eq!(call(&mut plugin, "f", "{}"), Outcome::Value("257".to_owned()));
    let refusal = (
        "socket".to_owned(),
        "create-tcp-socket \"ipv6\"".to_owned(),
        "default-deny:socket (built-in)".to_owned(),
    );
    assert_eq!(notes.refusals(), [refusal]);
}

#[test]
fn a_config_value_that_is_not_granted_is_denied_without_asking() {
    let text = r#"(component
        (import "stockade:plugin/config@0.1.0" (instance $config
            (type $error' (variant (case "denied" string)))
            (export "config-error" (type $error (eq $error')))
            (export "get" (func (param "key" string) (result (result (option string) (error $error)))))))
        (core module $memory
            (memory (export "memory") 1)
            (data (i32.const 0) "greeting")
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64)))
        (core instance $mem (instantiate $memory))
        (alias core export $mem "memory" (core memory $memory))
        (alias core export $mem "realloc" (core func $realloc))
        (core func $get (canon lower (func $config "get") (memory $memory) (realloc $realloc)))
        (core module $m
            (import "i" "memory" (memory 1))
            (import "i" "get" (func $get (param i32 i32 i32)))
            (func (export "f") (result i32)
                (call $get (i32.const 0) (i32.const 8) (i32.const 16))
                (i32.load8_u (i32.const 16))))
        (core instance $c (instantiate $m (with "i" (instance
            (export "memory" (memory $memory)) (export "get" (func $get))))))
        (func (export "failed") (result bool) (canon lift (core func $c "f"))))"#;
    let (mut denied, notes) = plugin(text, &[], false);
    assert_eq!(call(&mut denied, "failed", "{}"), Outcome::Value("true".to_owned()));
    assert_eq!(notes.refusals().len(), 1);
    let (mut granted, notes) = plugin(text, &[Scope::Config { key: "greet*".to_owned() }], false);
    notes.answers.lock().unwrap().push(Answer::Config(Some("\"hello\"".to_owned())));
    assert_eq!(call(&mut granted, "failed", "{}"), Outcome::Value("false".to_owned()));
    assert!(notes.refusals().is_empty());
}

#[test]
fn stdout_becomes_lines() {
    let text = r#"(component
        (import "wasi:io/streams@0.2.0" (instance $streams
            (export "output-stream" (type $stream (sub resource)))
            (type $error' (variant (case "closed")))
            (export "[method]output-stream.check-write" (func (param "self" (borrow $stream))))))
        (core module $f (func (export "f")))
        (core instance $i (instantiate $f))
        (func (export "f") (canon lift (core func $i "f"))))"#;
    // Linking compares types: this one leaves the result out.
    assert!(link_error(text).contains("check-write"));
    let (mut plugin, notes) = plugin(WAITS, &[Scope::Log], false);
    let state = plugin.state();
    state.print(stockade_ipc::LogLevel::Info, b"one\ntwo");
    state.print(stockade_ipc::LogLevel::Warn, b"\xff\n");
    state.print(stockade_ipc::LogLevel::Info, &[b'x'; 5000]);
    state.flush();
    let lines = notes.lines();
    assert_eq!((lines[0].as_str(), lines[1].as_str()), ("one", "\u{fffd}"));
    assert_eq!(lines[2].len(), 4096);
    assert_eq!(lines[2].len() + lines[3].len(), 3 + 5000);
}
