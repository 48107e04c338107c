;; C1: the loop is in the start function, so no call ever gets as far as its function.
(component
  (core module $m
    (func $start (loop $l br $l))
    (func (export "f"))
    (start $start))
  (core instance $i (instantiate $m))
  (func (export "f") (canon lift (core func $i "f"))))
