;; C15: a call through a typed reference.
(component
  (core module $m
    (type $void (func))
    (elem declare func $g)
    (func $g)
    (func (export "f") (call_ref $void (ref.func $g))))
  (core instance $i (instantiate $m))
  (func (export "f") (canon lift (core func $i "f"))))
