//! C6, C7: components that cost far more to compile, or to look at, than they cost to send.

use super::wasm::{
    CORE_MODULE, CUSTOM, DROP, END, GET, TYPES, XOR, around, component, exporting, leb, module, one_function,
    repeated, section, sized, type_number, with,
};

/// The component model's `bool`.
const BOOL: u8 = 0x7f;

/// Keeps every value that it loads alive to the end: register allocation takes ever longer.
pub(crate) fn live_values(values: usize) -> Vec<u8> {
    let mut code = Vec::new();
    for value in 0..values {
        code.extend([0x20, 0, 0x28, 2]);
        code.extend(leb(4 * value));
    }
    code.extend(vec![XOR; values - 1]);
    around(&one_function(&[0], &code))
}

/// Millions of values, none of which lives long.
pub(crate) fn short_values(values: usize) -> Vec<u8> {
    let mut code = GET.to_vec();
    code.extend([GET.as_slice(), &[XOR]].concat().repeat(values));
    around(&one_function(&[0], &code))
}

/// One function of so many bytes.
pub(crate) fn one_body(bytes: usize) -> Vec<u8> {
    // No locals, the instruction that returns, the end: four bytes beside the padding.
    let code = [vec![0x01; bytes - 4], GET.to_vec()].concat();
    around(&one_function(&[0], &code))
}

/// As many locals as a function can have, each read once.
pub(crate) fn many_locals(locals: usize) -> Vec<u8> {
    let declared = [vec![1], leb(locals), vec![0x7f]].concat();
    let mut code = GET.to_vec();
    for local in 1..=locals {
        code.push(0x20);
        code.extend(leb(local));
        code.push(XOR);
    }
    around(&one_function(&declared, &code))
}

/// A jump table of so many targets.
pub(crate) fn jump_table(targets: usize) -> Vec<u8> {
    let mut code = vec![0x02, 0x40];
    code.extend(GET);
    code.push(0x0e);
    code.extend(repeated(targets, &[0]));
    code.extend([0, END]);
    code.extend(GET);
    around(&one_function(&[0], &code))
}

/// So many blocks in blocks, and a jump table that names every one of them.
pub(crate) fn deep_blocks(depth: usize) -> Vec<u8> {
    let mut code = [0x02, 0x40].repeat(depth);
    code.extend(GET);
    code.push(0x0e);
    code.extend(leb(depth));
    code.extend((0..depth).flat_map(leb));
    code.push(0);
    code.extend(vec![END; depth]);
    code.extend(GET);
    around(&one_function(&[0], &code))
}

/// So many small functions.
pub(crate) fn many_functions(count: usize) -> Vec<u8> {
    let body = sized(&[&[0], GET.as_slice(), &GET, &[XOR, END]].concat());
    around(&exporting(count, &body.repeat(count), &[]))
}

/// A module of so many bytes of initial memory.
pub(crate) fn much_data(bytes: usize) -> Vec<u8> {
    let data = [&[1, 0, 0x41, 0, END], sized(&vec![0xa5; bytes]).as_slice()].concat();
    let memory = [vec![1, 0], leb(bytes.div_ceil(65536))].concat();
    let code = sized(&[&[0], GET.as_slice(), &[END]].concat());
    around(&exporting(1, &code, &[(5, memory), (11, data)]))
}

/// So many globals.
pub(crate) fn many_globals(count: usize) -> Vec<u8> {
    around(&with(6, repeated(count, &[0x7f, 1, 0x41, 0, END])))
}

/// So many tables of no elements.
pub(crate) fn many_tables(count: usize) -> Vec<u8> {
    around(&with(4, repeated(count, &[0x70, 0, 0])))
}

/// One table that begins with so many elements.
pub(crate) fn large_table(elements: usize) -> Vec<u8> {
    around(&with(4, [vec![1, 0x70, 0], leb(elements)].concat()))
}

/// So many memories of no pages.
pub(crate) fn many_memories(count: usize) -> Vec<u8> {
    around(&with(5, repeated(count, &[0, 0])))
}

/// One memory that begins with so many pages.
pub(crate) fn large_memory(pages: usize) -> Vec<u8> {
    around(&with(5, [vec![1, 0], leb(pages)].concat()))
}

/// One module, so many instances of it, and `f` of the first.
pub(crate) fn many_instances(count: usize) -> Vec<u8> {
    let once = around(&with(5, vec![0]));
    let more = section(2, &repeated(count - 1, &[0, 0, 0]));
    [once, more].concat()
}

/// Calls without arguments that are never folded: `drop` of a constant, over and over.
pub(crate) fn constants(count: usize) -> Vec<u8> {
    let code = [[0x41, 0, DROP].repeat(count), GET.to_vec()].concat();
    around(&one_function(&[0], &code))
}

/// Each type is a list of the one before; an exported function takes the last.
pub(crate) fn deep_types(depth: usize) -> Vec<u8> {
    chain(depth, |inner| [vec![0x70], inner.clone()].concat())
}

/// Each type is a pair of the one before: 2 to the power of `depth` values once it is written out.
pub(crate) fn doubling_types(depth: usize) -> Vec<u8> {
    chain(depth, |inner| [&[0x6f, 2], inner.as_slice(), inner].concat())
}

/// Types each made of the one before, the first of `bool`.
fn chain(depth: usize, of: impl Fn(&Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let mut types = leb(depth + 1);
    types.extend(of(&vec![BOOL]));
    for inner in 0..depth - 1 {
        types.extend(of(&type_number(inner)));
    }
    types.extend([&[0x40, 0, 0], type_number(depth - 1).as_slice()].concat());
    giving(&types, depth, 1)
}

/// One function of the type with this number, which returns something by its address, under so many names.
fn giving(types: &[u8], number: usize, names: usize) -> Vec<u8> {
    let (function, memory) = (sized(b"f"), sized(b"m"));
    let module = module(&[
        section(1, &[1, 0x60, 0, 1, 0x7f]),
        section(3, &[1, 0]),
        section(5, &[1, 0, 1]),
        section(7, &[&[2], function.as_slice(), &[0, 0], &memory, &[2, 0]].concat()),
        section(10, &[1, 4, 0, 0x41, 0, END]),
    ]);
    let mut exports = leb(names);
    for name in 0..names {
        exports.push(0);
        exports.extend(sized(format!("f{name}").as_bytes()));
        exports.extend([1, 0, 0]);
    }
    let aliases = [&[2, 0, 0, 1, 0], function.as_slice(), &[0, 2, 1, 0], &memory].concat();
    component(&[
        section(CORE_MODULE, &module),
        section(2, &[1, 0, 0, 0]),
        section(6, &aliases),
        section(TYPES, types),
        // Lifted with that memory.
        section(8, &[&[1, 0, 0, 0, 1, 3, 0], leb(number).as_slice()].concat()),
        section(11, &exports),
    ])
}

/// Component types within component types.
pub(crate) fn nested_component_types(depth: usize) -> Vec<u8> {
    // `component` with one declaration: a type, which again is one.
    let mut bytes = vec![1];
    bytes.extend([0x41, 1, 1].repeat(depth));
    bytes.extend([0x41, 0]);
    component(&[section(TYPES, &bytes)])
}

/// Components within components.
pub(crate) fn nested_components(depth: usize) -> Vec<u8> {
    (0..depth).fold(component(&[]), |inner, _| component(&[section(4, &inner)]))
}

/// An import for every number below `count`, of a function without anything.
pub(crate) fn many_imports(count: usize) -> Vec<u8> {
    let mut imports = leb(count);
    for number in 0..count {
        let name = format!("i{number}");
        imports.push(0);
        imports.extend(sized(name.as_bytes()));
        // A function of type 0.
        imports.extend([1, 0]);
    }
    let types = section(TYPES, &[1, 0x40, 0, 1, 0]);
    component(&[types, section(10, &imports)])
}

/// One function under so many names.
pub(crate) fn many_exports(count: usize) -> Vec<u8> {
    giving(&[2, 0x70, BOOL, 0x40, 0, 0, 0], 1, count)
}

/// A name section of so many bytes, as debuggers read them.
pub(crate) fn long_names(bytes: usize) -> Vec<u8> {
    let name = [sized(b"name"), section(1, &[vec![1, 0], sized(&vec![b'n'; bytes])].concat())].concat();
    let module = one_function(&[0], &GET);
    around(&[module, section(CUSTOM, &name)].concat())
}

/// A custom section that claims 4 GiB.
pub(crate) fn endless_custom() -> Vec<u8> {
    component(&[[&[CUSTOM], leb(u32::MAX as usize).as_slice(), b"\x01x"].concat()])
}

/// A custom section whose name claims 4 GiB.
pub(crate) fn endless_custom_name() -> Vec<u8> {
    component(&[section(CUSTOM, &leb(u32::MAX as usize))])
}

/// A length that goes on for longer than any number.
pub(crate) fn overlong_length() -> Vec<u8> {
    component(&[[&[CUSTOM], [0x80; 64].as_slice(), &[0]].concat()])
}

/// A length in six bytes where five are the most.
pub(crate) fn six_byte_length() -> Vec<u8> {
    component(&[vec![CUSTOM, 0x82, 0x80, 0x80, 0x80, 0x80, 0x00, 1, b'x']])
}

/// A list of types that claims 2^32 - 1 of them.
pub(crate) fn endless_types() -> Vec<u8> {
    component(&[section(TYPES, &leb(u32::MAX as usize))])
}
