;; Has a memory of one-byte pages: needs the proposal `custom-page-sizes`.
(component
  (core module $m
    (memory 1 (pagesize 1))
    (func (export "f")))
  (core instance $i (instantiate $m))
  (func (export "run") (canon lift (core func $i "f"))))
