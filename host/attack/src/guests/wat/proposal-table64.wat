;; C15: a table with 64-bit indices.
(component
  (core module $m
    (table i64 1 funcref)
    (func (export "f") (drop (table.get (i64.const 0)))))
  (core instance $i (instantiate $m))
  (func (export "f") (canon lift (core func $i "f"))))
