;; C15: a global that threads share.
(component
  (core module $m (global (shared i32) (i32.const 0))))
