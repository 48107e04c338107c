;; What the host believes to run where the probe stands in the worker's place: three tools, text to text.
;; The probe never looks at it. In a real worker it is the neighbour, whose `echo` has to answer.
(component
  (core module $m
    (memory (export "memory") 1)
    (global $free (mut i32) (i32.const 1024))
    ;; A new place for every text; an instance lives for one call, so none is ever given back.
    (func (export "realloc") (param $old i32) (param $had i32) (param $align i32) (param $wanted i32) (result i32)
      (local $place i32)
      (local.set $place
        (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.set $free (i32.add (local.get $place) (local.get $wanted)))
      (local.get $place))
    ;; A text is returned as the address of its address and length.
    (func (export "echo") (param $text i32) (param $length i32) (result i32)
      (i32.store (i32.const 16) (local.get $text))
      (i32.store (i32.const 20) (local.get $length))
      (i32.const 16)))
  (core instance $i (instantiate $m))
  (type $text-to-text (func (param "arguments" string) (result string)))
  (func (export "attempt") (type $text-to-text)
    (canon lift (core func $i "echo") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (func (export "peer") (type $text-to-text)
    (canon lift (core func $i "echo") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (func (export "echo") (type $text-to-text)
    (canon lift (core func $i "echo") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
