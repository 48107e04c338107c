;; Imports an interface that neither WASI nor Stockade has.
(component
  (import "acme:telemetry/upload@1.0.0" (instance (export "send" (func (param "data" string)))))
  (core module $m (func (export "f")))
  (core instance $i (instantiate $m))
  (func (export "run") (canon lift (core func $i "f"))))
