//! WIT values as JSON, both ways. `stockade-package` derives the JSON Schemas of exported functions from
//! the same table.
//!
//! | WIT | JSON |
//! |---|---|
//! | `bool` | `true`, `false` |
//! | `u8` … `u32`, `s8` … `s32` | an integer |
//! | `u64`, `s64` | an integer, or a string of decimal digits; written as a string beyond ±2^53 |
//! | `f32`, `f64` | a number; NaN and the infinities have no form and are an error |
//! | `char` | a string of one character |
//! | `string` | a string |
//! | `list<t>` | an array |
//! | `tuple<..>` | an array of that length |
//! | `record` | an object with exactly the fields; fields of type `option` may be left out |
//! | `option<t>` | `null`, or the value. In nested options `null` is always the outermost `none` |
//! | `variant` | `"case"`, or `{"case": payload}` where it has one |
//! | `enum` | `"case"` |
//! | `flags` | an array of names, each at most once |
//! | `result<t, e>` | `{"ok": value}` or `{"err": value}`, `null` where there is no type |
//! | anything else | no form: resources, futures, streams, maps |
//!
//! The arguments of a function are an object by parameter name, read like a record. A function's own
//! `result<t, e>` is not wrapped: `ok` is the call's value, `err` its failure. No result is `null`.

use std::fmt::{self, Write as _};
use std::io;

use serde::ser::{Error as _, Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value};
use wasmtime::component::{Type, Val};

/// Integers up to here are exact in a double, which is what many JSON readers have.
const EXACT: u64 = 1 << 53;

/// JSON that does not fit a type: where in the text, and what is wrong there.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{path}: {wrong}")]
pub(crate) struct Misfit {
    path: String,
    wrong: String,
}

/// A step from the root of the arguments, kept on the stack so that a fit costs no allocation.
enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_char('$'),
            Self::Field(outer, name) => write!(f, "{outer}.{name}"),
            Self::Item(outer, index) => write!(f, "{outer}[{index}]"),
        }
    }
}

impl Path<'_> {
    fn misfit(&self, wrong: impl Into<String>) -> Misfit {
        Misfit { path: self.to_string(), wrong: wrong.into() }
    }

    fn expected(&self, what: &str, found: &Value) -> Misfit {
        let found = match found {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        self.misfit(format!("expected {what}, found {found}"))
    }
}

/// Reads the arguments of a function. serde_json refuses texts that nest deeper than 128.
pub(crate) fn arguments<'t>(
    text: &str,
    params: impl Iterator<Item = (&'t str, Type)>,
) -> Result<Vec<Val>, Misfit> {
    let value = serde_json::from_str(text).map_err(|e| Path::Root.misfit(format!("not JSON: {e}")))?;
    let Value::Object(object) = value else { return Err(Path::Root.expected("an object", &value)) };
    Ok(fields(object, params, &Path::Root)?.into_iter().map(|(_, value)| value).collect())
}

fn fields<'t>(
    mut object: Map<String, Value>,
    fields: impl Iterator<Item = (&'t str, Type)>,
    at: &Path<'_>,
) -> Result<Vec<(String, Val)>, Misfit> {
    let values = fields
        .map(|(name, ty)| {
            let at = Path::Field(at, name);
            let value = match (object.remove(name), &ty) {
                (Some(value), _) => read(value, &ty, &at)?,
                (None, Type::Option(_)) => Val::Option(None),
                (None, _) => return Err(at.misfit("is missing")),
            };
            Ok((name.to_owned(), value))
        })
        .collect::<Result<_, _>>()?;
    match object.keys().next() {
        Some(unknown) => Err(Path::Field(at, unknown).misfit("is unknown")),
        None => Ok(values),
    }
}

fn read(value: Value, ty: &Type, at: &Path<'_>) -> Result<Val, Misfit> {
    Ok(match ty {
        Type::Bool => match value {
            Value::Bool(it) => Val::Bool(it),
            other => return Err(at.expected("a boolean", &other)),
        },
        Type::U8 => Val::U8(integer(&value, "u8", at)?),
        Type::U16 => Val::U16(integer(&value, "u16", at)?),
        Type::U32 => Val::U32(integer(&value, "u32", at)?),
        Type::U64 => Val::U64(integer(&digits(value), "u64", at)?),
        Type::S8 => Val::S8(integer(&value, "s8", at)?),
        Type::S16 => Val::S16(integer(&value, "s16", at)?),
        Type::S32 => Val::S32(integer(&value, "s32", at)?),
        Type::S64 => Val::S64(integer(&digits(value), "s64", at)?),
        Type::Float32 => match number(&value, at)? as f32 {
            it if it.is_finite() => Val::Float32(it),
            _ => return Err(at.misfit("is out of the range of f32")),
        },
        Type::Float64 => Val::Float64(number(&value, at)?),
        Type::Char => {
            let mut chars = value.as_str().unwrap_or_default().chars();
            match (chars.next(), chars.next()) {
                (Some(it), None) => Val::Char(it),
                _ => return Err(at.misfit("expected a string of one character")),
            }
        }
        Type::String => Val::String(string(value, at)?),
        Type::List(list) => {
            let item = list.ty();
            Val::List(items(array(value, at)?, std::iter::repeat(item), at)?)
        }
        Type::Tuple(tuple) => {
            let values = array(value, at)?;
            let types = tuple.types();
            if values.len() != types.len() {
                let (wanted, found) = (types.len(), values.len());
                return Err(at.misfit(format!("expected {wanted} items, found {found}")));
            }
            Val::Tuple(items(values, types, at)?)
        }
        Type::Record(record) => match value {
            Value::Object(object) => {
                Val::Record(fields(object, record.fields().map(|f| (f.name, f.ty)), at)?)
            }
            other => return Err(at.expected("an object", &other)),
        },
        Type::Option(option) => match value {
            Value::Null => Val::Option(None),
            some => Val::Option(Some(Box::new(read(some, &option.ty(), at)?))),
        },
        Type::Variant(variant) => {
            let (name, payload) = case(value, at)?;
            let Some(case) = variant.cases().find(|case| case.name == name) else {
                return Err(at.misfit(format!("has no case {name:?}")));
            };
            let inner = Path::Field(at, &name);
            let payload = match (payload, case.ty) {
                (Some(value), Some(ty)) => Some(Box::new(read(value, &ty, &inner)?)),
                (None, None) => None,
                (Some(_), None) => return Err(at.misfit(format!("case {name:?} has no payload"))),
                (None, Some(_)) => return Err(at.misfit(format!("case {name:?} needs a payload"))),
            };
            Val::Variant(name, payload)
        }
        Type::Enum(cases) => {
            let name = string(value, at)?;
            if !cases.names().any(|case| case == name) {
                return Err(at.misfit(format!("has no case {name:?}")));
            }
            Val::Enum(name)
        }
        Type::Flags(flags) => {
            let mut set = Vec::new();
            for (index, value) in array(value, at)?.into_iter().enumerate() {
                let at = Path::Item(at, index);
                let name = string(value, &at)?;
                if set.contains(&name) || !flags.names().any(|flag| flag == name) {
                    return Err(at.misfit(format!("{name:?} is no flag, or there twice")));
                }
                set.push(name);
            }
            Val::Flags(set)
        }
        Type::Result(result) => {
            let (name, payload) = case(value, at)?;
            let inner = Path::Field(at, &name);
            let side = |ty: Option<Type>| match (payload, ty) {
                (Some(value), Some(ty)) => read(value, &ty, &inner).map(|v| Some(Box::new(v))),
                (Some(Value::Null) | None, None) => Ok(None),
                _ => Err(inner.misfit("does not fit")),
            };
            Val::Result(match name.as_str() {
                "ok" => Ok(side(result.ok())?),
                "err" => Err(side(result.err())?),
                _ => return Err(at.misfit("expected {\"ok\": ..} or {\"err\": ..}")),
            })
        }
        other => return Err(at.misfit(format!("has a type without a JSON form: {other:?}"))),
    })
}

/// 64-bit integers may come as strings of decimal digits, so that no reader rounds them.
fn digits(value: Value) -> Value {
    let number = value.as_str().and_then(|text| {
        let signless = text.strip_prefix('-').unwrap_or(text);
        let plain = !signless.is_empty() && signless.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| text.parse().map(i64::into).or_else(|_| text.parse().map(u64::into)).ok())?
    });
    number.map_or(value, Value::Number)
}

fn integer<T: TryFrom<i128>>(value: &Value, what: &str, at: &Path<'_>) -> Result<T, Misfit> {
    let number = match value {
        Value::Number(n) => n,
        other => return Err(at.expected(&format!("an integer ({what})"), other)),
    };
    let whole = number.as_i128().or_else(|| {
        // JSON Schema calls 1.0 an integer.
        let float = number.as_f64().filter(|f| f.fract() == 0.0 && f.abs() <= EXACT as f64)?;
        Some(float as i128)
    });
    let fits = whole.and_then(|n| T::try_from(n).ok());
    fits.ok_or_else(|| at.misfit(format!("{number} is not a {what}")))
}

fn number(value: &Value, at: &Path<'_>) -> Result<f64, Misfit> {
    value.as_f64().filter(|n| n.is_finite()).ok_or_else(|| at.expected("a number", value))
}

fn string(value: Value, at: &Path<'_>) -> Result<String, Misfit> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(at.expected("a string", &other)),
    }
}

fn array(value: Value, at: &Path<'_>) -> Result<Vec<Value>, Misfit> {
    match value {
        Value::Array(values) => Ok(values),
        other => Err(at.expected("an array", &other)),
    }
}

fn items(values: Vec<Value>, types: impl Iterator<Item = Type>, at: &Path<'_>) -> Result<Vec<Val>, Misfit> {
    let pairs = values.into_iter().zip(types).enumerate();
    pairs.map(|(index, (value, ty))| read(value, &ty, &Path::Item(at, index))).collect()
}

/// `"name"` or `{"name": payload}`.
fn case(value: Value, at: &Path<'_>) -> Result<(String, Option<Value>), Misfit> {
    match value {
        Value::String(name) => Ok((name, None)),
        Value::Object(object) if object.len() == 1 => {
            let (name, payload) = object.into_iter().next().expect("there is one");
            Ok((name, Some(payload)))
        }
        other => Err(at.expected("a case: \"name\" or {\"name\": payload}", &other)),
    }
}

/// Why a value could not be written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unwritten {
    /// The text would be longer than the limit.
    TooLong,
    /// A value has no JSON form.
    NoForm(String),
}

/// Writes a value as JSON of at most `limit` bytes; nothing at all is `null`.
pub(crate) fn text(value: Option<&Val>, limit: usize) -> Result<String, Unwritten> {
    let mut out = Bounded { text: Vec::new(), limit };
    let written = match value {
        Some(value) => serde_json::to_writer(&mut out, &Form(value)),
        None => serde_json::to_writer(&mut out, &()),
    };
    match written {
        Ok(()) => Ok(String::from_utf8(out.text).expect("JSON is UTF-8")),
        Err(e) if e.is_io() => Err(Unwritten::TooLong),
        Err(e) => Err(Unwritten::NoForm(e.to_string())),
    }
}

struct Bounded {
    text: Vec<u8>,
    limit: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() + bytes.len() > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Form<'a>(&'a Val);

impl Serialize for Form<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let unit = |to: S, value: &Option<Box<Val>>| match value {
            Some(value) => Form(value).serialize(to),
            None => to.serialize_unit(),
        };
        match self.0 {
            Val::Bool(it) => to.serialize_bool(*it),
            Val::U8(it) => to.serialize_u8(*it),
            Val::U16(it) => to.serialize_u16(*it),
            Val::U32(it) => to.serialize_u32(*it),
            Val::U64(it) if *it > EXACT => to.collect_str(it),
            Val::U64(it) => to.serialize_u64(*it),
            Val::S8(it) => to.serialize_i8(*it),
            Val::S16(it) => to.serialize_i16(*it),
            Val::S32(it) => to.serialize_i32(*it),
            Val::S64(it) if it.unsigned_abs() > EXACT => to.collect_str(it),
            Val::S64(it) => to.serialize_i64(*it),
            Val::Float32(it) if it.is_finite() => to.serialize_f32(*it),
            Val::Float64(it) if it.is_finite() => to.serialize_f64(*it),
            Val::Float32(_) | Val::Float64(_) => Err(S::Error::custom("NaN and infinity have no JSON form")),
            Val::Char(it) => to.serialize_char(*it),
            Val::String(it) | Val::Enum(it) | Val::Variant(it, None) => to.serialize_str(it),
            Val::List(items) | Val::Tuple(items) | Val::FixedLengthList(items) => {
                let mut seq = to.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| seq.serialize_element(&Form(item)))?;
                seq.end()
            }
            Val::Record(fields) => {
                let mut map = to.serialize_map(Some(fields.len()))?;
                fields.iter().try_for_each(|(name, value)| map.serialize_entry(name, &Form(value)))?;
                map.end()
            }
            Val::Variant(name, Some(payload)) => {
                let mut map = to.serialize_map(Some(1))?;
                map.serialize_entry(name, &Form(payload))?;
                map.end()
            }
            Val::Option(it) => unit(to, it),
            Val::Result(result) => {
                let (name, value) = match result {
                    Ok(value) => ("ok", value),
                    Err(value) => ("err", value),
                };
                let mut map = to.serialize_map(Some(1))?;
                match value {
                    Some(value) => map.serialize_entry(name, &Form(value))?,
                    None => map.serialize_entry(name, &())?,
                }
                map.end()
            }
            Val::Flags(names) => names.serialize(to),
            _ => Err(S::Error::custom("resources, futures, streams and maps have no JSON form")),
        }
    }
}
