;; C15: a continuation.
(component
  (core module $m
    (type $void (func))
    (type $cont (cont $void))
    (elem declare func $g)
    (func $g)
    (func (export "f") (drop (cont.new $cont (ref.func $g)))))
  (core instance $i (instantiate $m))
  (func (export "f") (canon lift (core func $i "f"))))
