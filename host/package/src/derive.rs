use serde_json::{Map, Value, json};
use stockade_ipc::{Export, TypeId, WitType, World};

use crate::schema::Budget;
use crate::{PackageError, Tool};

/// What toolchains add to a component for themselves; never a tool.
const TOOLCHAIN_EXPORTS: &[&str] = &["init"];

/// The tools of a component that exports plain functions: one for each, with JSON Schemas derived from
/// its WIT types. The JSON form of every type is that of the worker's `json` module.
pub fn tools_of_world(world: &World) -> Result<Vec<Tool>, PackageError> {
    let mut budget = Budget::default();
    let exports: Vec<&Export> =
        world.exports.iter().filter(|export| !TOOLCHAIN_EXPORTS.contains(&export.name.as_str())).collect();
    if exports.is_empty() {
        return Err(PackageError::NothingExported);
    }
    exports.into_iter().map(|export| tool(world, export, &mut budget)).collect()
}

fn tool(world: &World, export: &Export, budget: &mut Budget) -> Result<Tool, PackageError> {
    let mut derivation = Derivation { world, function: &export.name, budget };
    let fields: Vec<(&str, TypeId)> = export.params.iter().map(|p| (p.name.as_str(), p.ty)).collect();
    let input = derivation.object(&fields)?;
    // A function's own result is not wrapped: `ok` is the call's value, `err` its failure.
    let result = match export.result.map(|id| derivation.of(id)).transpose()? {
        Some(WitType::Result(ok, _)) => *ok,
        _ => export.result,
    };
    let output = match result {
        Some(id) => derivation.schema(id)?,
        None => json!({ "type": "null" }),
    };
    derivation.supported(export)?;
    Tool::derived(export.name.clone(), input, Some(output))
}

struct Derivation<'w, 'b> {
    world: &'w World,
    function: &'w str,
    budget: &'b mut Budget,
}

impl<'w> Derivation<'w, '_> {
    fn of(&self, id: TypeId) -> Result<&'w WitType, PackageError> {
        self.world.types.get(usize::from(id)).ok_or(PackageError::WorldTooLarge)
    }

    /// The error side of a function's own result has no schema; it must have a JSON form all the same.
    fn supported(&mut self, export: &Export) -> Result<(), PackageError> {
        export.result.map_or(Ok(()), |id| self.schema(id).map(drop))
    }

    /// An object with exactly these members; those that are options need not be there.
    fn object(&mut self, members: &[(&str, TypeId)]) -> Result<Value, PackageError> {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for &(name, id) in members {
            if !matches!(self.of(id)?, WitType::Option(_)) {
                required.push(name);
            }
            properties.insert(name.to_owned(), self.schema(id)?);
        }
        Ok(json!({
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        }))
    }

    /// `{"name": value}` and nothing else.
    fn single(&mut self, name: &str, payload: Option<TypeId>) -> Result<Value, PackageError> {
        let payload = payload.map_or_else(|| Ok(json!({ "type": "null" })), |id| self.schema(id))?;
        let mut properties = Map::new();
        properties.insert(name.to_owned(), payload);
        Ok(json!({
            "type": "object", "properties": properties, "required": [name], "additionalProperties": false,
        }))
    }

    fn schemas(&mut self, ids: &[TypeId]) -> Result<Vec<Value>, PackageError> {
        ids.iter().map(|&id| self.schema(id)).collect()
    }

    // Ends: a type refers only to types before it, checked when the world arrived, and the budget.
    fn schema(&mut self, id: TypeId) -> Result<Value, PackageError> {
        let ty = self.of(id)?;
        // Every name is written out anew at every reference.
        if !self.budget.take(1 + ty.names().len() as u32) {
            return Err(PackageError::WorldTooLarge);
        }
        Ok(match ty {
            WitType::Bool => json!({ "type": "boolean" }),
            WitType::U8 => integer(0, u8::MAX.into()),
            WitType::U16 => integer(0, u16::MAX.into()),
            WitType::U32 => integer(0, u32::MAX.into()),
            WitType::S8 => integer(i8::MIN.into(), i8::MAX.into()),
            WitType::S16 => integer(i16::MIN.into(), i16::MAX.into()),
            WitType::S32 => integer(i32::MIN.into(), i32::MAX.into()),
            WitType::U64 => wide(json!(u64::MIN), json!(u64::MAX)),
            WitType::S64 => wide(json!(i64::MIN), json!(i64::MAX)),
            WitType::F32 | WitType::F64 => json!({ "type": "number" }),
            WitType::Char => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
            WitType::String => json!({ "type": "string" }),
            WitType::List(item) => json!({ "type": "array", "items": self.schema(*item)? }),
            WitType::Option(some) => json!({ "anyOf": [self.schema(*some)?, { "type": "null" }] }),
            WitType::Tuple(items) => self.tuple(items)?,
            WitType::Record(fields) => {
                let fields: Vec<(&str, TypeId)> = fields.iter().map(|f| (f.name.as_str(), f.ty)).collect();
                self.object(&fields)?
            }
            WitType::Variant(cases) => self.variant(cases)?,
            WitType::Enum(names) => json!({ "enum": names }),
            WitType::Flags(names) => {
                json!({ "type": "array", "items": { "enum": names }, "uniqueItems": true })
            }
            WitType::Result(ok, err) => {
                json!({ "oneOf": [self.single("ok", *ok)?, self.single("err", *err)?] })
            }
            WitType::Unsupported(name) => {
                return Err(PackageError::UnsupportedType {
                    function: self.function.to_owned(),
                    type_name: name.clone(),
                });
            }
        })
    }

    fn tuple(&mut self, items: &[TypeId]) -> Result<Value, PackageError> {
        if items.is_empty() {
            return Ok(json!({ "type": "array", "maxItems": 0 }));
        }
        let (schemas, count) = (self.schemas(items)?, items.len());
        Ok(json!({
            "type": "array", "prefixItems": schemas, "items": false, "minItems": count, "maxItems": count,
        }))
    }

    fn variant(&mut self, cases: &[(String, Option<TypeId>)]) -> Result<Value, PackageError> {
        let bare: Vec<&str> = cases.iter().filter(|(_, p)| p.is_none()).map(|(n, _)| n.as_str()).collect();
        let mut forms = vec![json!({ "enum": bare })];
        for (name, payload) in cases {
            if payload.is_some() {
                forms.push(self.single(name, *payload)?);
            }
        }
        Ok(json!({ "oneOf": forms }))
    }
}

fn integer(minimum: i64, maximum: i64) -> Value {
    json!({ "type": "integer", "minimum": minimum, "maximum": maximum })
}

/// 64-bit integers are beyond what many JSON libraries carry exactly, so decimal digits in a string are
/// taken too; whether the digits are a number of the type, the worker says.
fn wide(minimum: Value, maximum: Value) -> Value {
    json!({
        "type": ["integer", "string"], "minimum": minimum, "maximum": maximum, "minLength": 1, "maxLength": 20,
    })
}
