;; A valid component without an export: it offers no tool.
(component)
