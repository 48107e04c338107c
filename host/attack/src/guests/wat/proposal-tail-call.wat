;; C15: a call in tail position.
(component
  (core module $m
    (func $g)
    (func (export "f") (return_call $g)))
  (core instance $i (instantiate $m))
  (func (export "f") (canon lift (core func $i "f"))))
