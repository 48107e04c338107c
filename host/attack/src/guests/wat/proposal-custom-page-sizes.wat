;; C15: a memory of one-byte pages.
(component
  (core module $m
    (memory 1 (pagesize 1))
    (func (export "f")))
  (core instance $i (instantiate $m))
  (func (export "f") (canon lift (core func $i "f"))))
