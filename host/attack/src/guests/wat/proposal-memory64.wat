;; C15: a memory with 64-bit addresses.
(component
  (core module $m
    (memory i64 1)
    (func (export "f") (i32.store (i64.const 0) (i32.const 1))))
  (core instance $i (instantiate $m))
  (func (export "f") (canon lift (core func $i "f"))))
