;; C3, C4: memory and tables up to their limits and beyond.
(component
  (core module $m
    (memory $a (export "memory") 1)
    (memory $b 1)
    (table $table 1 funcref)
    (func (export "fine") (param i32) (result i32) (local.get 0))
    ;; As far as it goes, a page at a time; every page is written to.
    (func (export "grow") (result i32)
      (block $full (loop $more
        (br_if $full (i32.eq (memory.grow $a (i32.const 1)) (i32.const -1)))
        (i64.store $a
          (i32.mul (i32.sub (memory.size $a) (i32.const 1)) (i32.const 65536)) (i64.const 1))
        br $more))
      (memory.size $a))
    ;; Two memories count together.
    (func (export "grow-both") (result i32)
      (block $full (loop $more
        (br_if $full (i32.eq (memory.grow $a (i32.const 16)) (i32.const -1)))
        (br_if $full (i32.eq (memory.grow $b (i32.const 16)) (i32.const -1)))
        br $more))
      (i32.add (memory.size $a) (memory.size $b)))
    (func (export "grow-all-at-once") (result i32) (memory.grow $a (i32.const 65535)))
    (func (export "grow-beyond-all") (result i32) (memory.grow $a (i32.const -1)))
    (func (export "table-all-at-once") (result i32) (table.grow $table (ref.null func) (i32.const -1)))
    (func (export "table") (result i32)
      (block $full (loop $more
        (br_if $full (i32.eq (table.grow $table (ref.null func) (i32.const 4096)) (i32.const -1)))
        br $more))
      (table.size $table)))
  (core instance $i (instantiate $m))
  (func (export "fine") (param "value" u32) (result u32) (canon lift (core func $i "fine")))
  (func (export "grow") (result u32) (canon lift (core func $i "grow")))
  (func (export "grow-both") (result u32) (canon lift (core func $i "grow-both")))
  (func (export "grow-all-at-once") (result s32) (canon lift (core func $i "grow-all-at-once")))
  (func (export "grow-beyond-all") (result s32) (canon lift (core func $i "grow-beyond-all")))
  (func (export "table-all-at-once") (result s32) (canon lift (core func $i "table-all-at-once")))
  (func (export "table") (result u32) (canon lift (core func $i "table"))))
