//! Writing WebAssembly by hand: what no tool would make.

/// An unsigned number in LEB128.
pub(crate) fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// The number of a type where a built-in type, a negative number, could stand as well.
pub(crate) fn type_number(number: usize) -> Vec<u8> {
    let mut bytes = leb(number);
    if bytes.last().is_some_and(|last| last & 0x40 != 0) {
        *bytes.last_mut().expect("a number has a byte") |= 0x80;
        bytes.push(0);
    }
    bytes
}

/// Bytes behind their length.
pub(crate) fn sized(bytes: &[u8]) -> Vec<u8> {
    [leb(bytes.len()).as_slice(), bytes].concat()
}

/// A section.
pub(crate) fn section(id: u8, bytes: &[u8]) -> Vec<u8> {
    [[id].as_slice(), &sized(bytes)].concat()
}

/// So many of the same, behind their number.
pub(crate) fn repeated(count: usize, item: &[u8]) -> Vec<u8> {
    [leb(count), item.repeat(count)].concat()
}

/// A core module of these sections.
pub(crate) fn module(sections: &[Vec<u8>]) -> Vec<u8> {
    [b"\0asm\x01\0\0\0".as_slice(), &sections.concat()].concat()
}

/// A component of these sections.
pub(crate) fn component(sections: &[Vec<u8>]) -> Vec<u8> {
    [b"\0asm\x0d\0\x01\0".as_slice(), &sections.concat()].concat()
}

/// A component with this core module, and with its function `f`, which takes a number and returns one.
pub(crate) fn around(module: &[u8]) -> Vec<u8> {
    let name = sized(b"f");
    component(&[
        section(CORE_MODULE, module),
        // One instance of it, without arguments.
        section(2, &[1, 0, 0, 0]),
        // The core function that this instance exports.
        section(6, &[&[1, 0, 0, 1, 0], name.as_slice()].concat()),
        section(TYPES, &[&[1, 0x40, 1], sized(b"a").as_slice(), &[U32, 0, U32]].concat()),
        // Lifted to that type, without options.
        section(8, &[1, 0, 0, 0, 0, 0]),
        section(11, &[&[1, 0], name.as_slice(), &[1, 0, 0]].concat()),
    ])
}

/// A module whose function `f`, the last of `functions` of `i32 -> i32`, is exported, with these sections
/// beside it.
pub(crate) fn exporting(functions: usize, bodies: &[u8], beside: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let export = [&[1], sized(b"f").as_slice(), &[0], &leb(functions - 1)].concat();
    let mut sections = vec![
        (1, vec![1, 0x60, 1, I32, 1, I32]),
        (3, repeated(functions, &[0])),
        (7, export),
        (10, [leb(functions).as_slice(), bodies].concat()),
    ];
    sections.extend_from_slice(beside);
    sections.sort_by_key(|&(id, _)| id);
    module(&sections.iter().map(|(id, bytes)| section(*id, bytes)).collect::<Vec<_>>())
}

/// A module with a memory and the function `f`, whose locals and code these are.
pub(crate) fn one_function(locals: &[u8], code: &[u8]) -> Vec<u8> {
    exporting(1, &sized(&[locals, code, &[END]].concat()), &[(5, vec![1, 0, 1])])
}

/// A module whose `f` returns what it is given, with these sections beside it.
pub(crate) fn with(id: u8, bytes: Vec<u8>) -> Vec<u8> {
    exporting(1, &sized(&[&[0], GET.as_slice(), &[END]].concat()), &[(id, bytes)])
}

/// The component section that holds a core module.
pub(crate) const CORE_MODULE: u8 = 1;
/// The component section that holds types.
pub(crate) const TYPES: u8 = 7;
/// The custom section, of modules and of components.
pub(crate) const CUSTOM: u8 = 0;

const I32: u8 = 0x7f;
/// The component model's `u32`.
const U32: u8 = 0x79;
/// The end of a block, or of a function.
pub(crate) const END: u8 = 0x0b;
/// `local.get 0`
pub(crate) const GET: [u8; 2] = [0x20, 0];
/// `i32.xor`
pub(crate) const XOR: u8 = 0x73;
/// `drop`
pub(crate) const DROP: u8 = 0x1a;
