;; C15: a map.
(component
  (type (map string u8)))
