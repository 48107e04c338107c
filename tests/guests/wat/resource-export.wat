;; Exports a function that returns a resource, which has no JSON form.
(component
  (type $token' (resource (rep i32)))
  (export $token "token" (type $token'))
  (core func $new (canon resource.new $token'))
  (core module $wrap
    (import "" "new" (func $new (param i32) (result i32)))
    (func (export "make") (result i32) (call $new (i32.const 7))))
  (core instance $w (instantiate $wrap (with "" (instance (export "new" (func $new))))))
  (func (export "make") (result (own $token)) (canon lift (core func $w "make"))))
