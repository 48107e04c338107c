;; C15: an import under a name of its own that says which interface it is.
(component
  (import "a" (implements "a:b/c") (instance)))
