;; C15: a struct on the engine's heap.
(component
  (core module $m
    (type $pair (struct (field i32) (field i32)))
    (func (export "f") (drop (struct.new $pair (i32.const 1) (i32.const 2)))))
  (core instance $i (instantiate $m))
  (func (export "f") (canon lift (core func $i "f"))))
