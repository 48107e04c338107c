;; Allocates a struct: needs the proposal `gc`.
(component
  (core module $m
    (type $pair (struct (field i32) (field i32)))
    (func (export "f") (drop (struct.new $pair (i32.const 1) (i32.const 2)))))
  (core instance $i (instantiate $m))
  (func (export "run") (canon lift (core func $i "f"))))
