;; C1, C2: calls that never come back, each by another way of using up time.
(component
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))
    (export "poll" (func (param "in" (list (borrow $pollable))) (result (list u32))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $it))
    (export "pollable" (type (eq $it)))
    (export "subscribe-instant" (func (param "when" u64) (result (own $it))))
    (export "subscribe-duration" (func (param "when" u64) (result (own $it))))))
  (import "wasi:random/random@0.2.0" (instance $random
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
  (core module $memory
    (memory (export "memory") 1024)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536)))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $mem))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core func $at (canon lower (func $clock "subscribe-instant")))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $poll (canon lower (func $poll "poll") (memory $mem) (realloc $realloc)))
  (core func $bytes (canon lower (func $random "get-random-bytes") (memory $mem) (realloc $realloc)))
  (core module $m
    (import "" "memory" (memory 1024))
    (import "" "subscribe" (func $subscribe (param i64) (result i32)))
    (import "" "at" (func $at (param i64) (result i32)))
    (import "" "block" (func $block (param i32)))
    (import "" "poll" (func $poll (param i32 i32 i32)))
    (import "" "bytes" (func $bytes (param i64 i32)))
    (table $table 100000 funcref)
    (func (export "fine") (param i32) (result i32) (local.get 0))
    (func $loop (export "loop") (loop $l br $l))
    (func (export "loop-by-tables") (loop $l
      (br_table $l $l $l (i32.const 1))))
    (func (export "fill") (loop $l
      (memory.fill (i32.const 0) (i32.const 170) (i32.const 67108864))
      br $l))
    (func (export "copy") (loop $l
      (memory.copy (i32.const 0) (i32.const 33554432) (i32.const 33554432))
      br $l))
    (func (export "fill-table") (loop $l
      (table.fill $table (i32.const 0) (ref.null func) (i32.const 100000))
      br $l))
    (func (export "grow-in-vain") (loop $l
      (drop (memory.grow (i32.const 65536)))
      br $l))
    ;; One timer that is always due, polled for ever.
    (func (export "poll-without-waiting")
      (i32.store (i32.const 0) (call $subscribe (i64.const 0)))
      (loop $l
        (call $poll (i32.const 0) (i32.const 1) (i32.const 16))
        br $l))
    (func (export "random") (loop $l
      (call $bytes (i64.const 65536) (i32.const 16))
      br $l))
    (func (export "sleep") (call $block (call $subscribe (i64.const -1))))
    (func (export "sleep-until-the-end") (call $block (call $at (i64.const -1))))
    (func (export "sleep-for-half-of-time") (call $block (call $subscribe (i64.const 0x7fffffffffffffff))))
    (func (export "yesterday") (result i64)
      (call $block (call $at (i64.const 0)))
      (call $block (call $subscribe (i64.const 0)))
      (i64.const 1))
    ;; Ten thousand timers, one after the other, each at once due.
    (func (export "many-timers") (loop $l
      (call $block (call $subscribe (i64.const 1)))
      br $l))
    (func (export "text") (param i32 i32))
    (func (export "after") (result i32) (i32.const 16))
    (func (export "after-loop") (param i32) (loop $l br $l)))
  (core instance $i (instantiate $m (with "" (instance
    (export "memory" (memory $mem))
    (export "subscribe" (func $subscribe)) (export "at" (func $at)) (export "block" (func $block))
    (export "poll" (func $poll)) (export "bytes" (func $bytes))))))
  (core module $endless-realloc
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (loop $l br $l) unreachable))
  (core instance $r (instantiate $endless-realloc))
  (func (export "fine") (param "value" u32) (result u32) (canon lift (core func $i "fine")))
  (func (export "loop") (canon lift (core func $i "loop")))
  (func (export "loop-by-tables") (canon lift (core func $i "loop-by-tables")))
  (func (export "fill") (canon lift (core func $i "fill")))
  (func (export "copy") (canon lift (core func $i "copy")))
  (func (export "fill-table") (canon lift (core func $i "fill-table")))
  (func (export "grow-in-vain") (canon lift (core func $i "grow-in-vain")))
  (func (export "poll-without-waiting") (canon lift (core func $i "poll-without-waiting")))
  (func (export "random") (canon lift (core func $i "random")))
  (func (export "sleep") (canon lift (core func $i "sleep")))
  (func (export "sleep-until-the-end") (canon lift (core func $i "sleep-until-the-end")))
  (func (export "sleep-for-half-of-time") (canon lift (core func $i "sleep-for-half-of-time")))
  (func (export "yesterday") (result u64) (canon lift (core func $i "yesterday")))
  (func (export "many-timers") (canon lift (core func $i "many-timers")))
  ;; The host calls realloc for the parameter.
  (func (export "realloc") (param "text" string)
    (canon lift (core func $i "text") (memory $mem) (realloc (core func $r "realloc"))))
  ;; The host calls this after it took the result.
  (func (export "post-return") (result string)
    (canon lift (core func $i "after") (memory $mem) (post-return (core func $i "after-loop")))))
