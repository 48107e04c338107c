;; C15: a shared memory.
(component
  (core module $m
    (memory 1 1 shared)
    (func (export "f") (i32.atomic.store (i32.const 0) (i32.const 1))))
  (core instance $i (instantiate $m))
  (func (export "f") (canon lift (core func $i "f"))))
