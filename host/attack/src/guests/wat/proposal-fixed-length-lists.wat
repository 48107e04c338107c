;; C15: a list of four.
(component
  (type (list u8 4)))
