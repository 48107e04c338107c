;; C15: throws and catches.
(component
  (core module $m
    (tag $fault)
    (func (export "f") (block $caught (try_table (catch $fault $caught) (throw $fault)))))
  (core instance $i (instantiate $m))
  (func (export "f") (canon lift (core func $i "f"))))
