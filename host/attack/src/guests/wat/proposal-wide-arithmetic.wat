;; C15: 128-bit arithmetic.
(component
  (core module $m
    (func (export "f")
      (i64.add128 (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)) drop drop))
  (core instance $i (instantiate $m))
  (func (export "f") (canon lift (core func $i "f"))))
