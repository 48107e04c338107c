;; Calls in tail position: needs the proposal `tail-call`, a part of WebAssembly 3.0.
(component
  (core module $m
    (func $g)
    (func (export "f") (return_call $g)))
  (core instance $i (instantiate $m))
  (func (export "run") (canon lift (core func $i "f"))))
