;; Throws and catches: needs the proposal `exception-handling` (exnref).
(component
  (core module $m
    (tag $fault)
    (func (export "f") (block $caught (try_table (catch $fault $caught) (throw $fault)))))
  (core instance $i (instantiate $m))
  (func (export "run") (canon lift (core func $i "f"))))
