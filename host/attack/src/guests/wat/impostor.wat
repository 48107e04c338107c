;; C18: what another package of the same shape is.
(component
  (core module $m
    (global $calls (mut i32) (i32.const 0))
    (func (export "count") (result i32)
      (global.set $calls (i32.add (global.get $calls) (i32.const 2)))
      (global.get $calls))
    (func (export "who") (result i32) (i32.const 2)))
  (core instance $i (instantiate $m))
  (func (export "count") (result u32) (canon lift (core func $i "count")))
  (func (export "who") (result u32) (canon lift (core func $i "who"))))
