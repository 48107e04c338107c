//! A component's imports, exports and types as flat, bounded data.

use stockade_ipc::bounds::{ITEMS, MEMBERS, NAME, TYPE_DEPTH, UNFOLDED};
use stockade_ipc::{Export, Import, Param, TypeId, WitType, World};
use wasmtime::Engine;
use wasmtime::component::Type;
use wasmtime::component::types::{Component, ComponentFunc, ComponentItem};

/// The interface that makes a component a plugin with declared tools.
const TOOL_INTERFACE: &str = "stockade:plugin/tool@";
/// The line of it that hosts speak; of several that a component exports, it is this one.
const SPOKEN: &str = "stockade:plugin/tool@0.1.";

/// What is over a bound of the report, in words.
type TooLarge = String;

/// Describes a component.
pub(crate) fn world(engine: &Engine, component: &Component) -> Result<World, TooLarge> {
    let mut flat = Flat::default();
    let mut world = World::default();
    for (name, item) in component.imports(engine) {
        // A type that is only named by an import is not something that anybody has to provide.
        if !matches!(item.ty, ComponentItem::Type(_)) {
            world.imports.push(Import { name: bounded(name)? });
        }
    }
    for (name, item) in component.exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(function) => {
                world.exports.push(flat.export(name, &function)?);
            }
            ComponentItem::ComponentInstance(_)
                if name.starts_with(TOOL_INTERFACE)
                    && (world.tool_interface.is_none() || name.starts_with(SPOKEN)) =>
            {
                world.tool_interface = Some(bounded(name)?);
            }
            // Other exports are normal and never called.
            _ => {}
        }
    }
    if world.imports.len() > ITEMS || world.exports.len() > ITEMS {
        return Err(format!("more than {ITEMS} imports or exports"));
    }
    world.types = flat.types;
    Ok(world)
}

#[derive(Default)]
struct Flat {
    types: Vec<WitType>,
    /// How many types were looked at. A type graph with sharing unfolds to exponentially many (C7).
    unfolded: u32,
    depth: u16,
}

fn bounded(name: &str) -> Result<String, TooLarge> {
    if name.len() > NAME {
        return Err(format!("a name of {} bytes; at most {NAME} are allowed", name.len()));
    }
    Ok(name.to_owned())
}

fn too_many() -> TooLarge {
    format!("a type with more than {MEMBERS} members")
}

impl Flat {
    fn export(&mut self, name: &str, function: &ComponentFunc) -> Result<Export, TooLarge> {
        let params = function
            .params()
            .map(|(name, ty)| Ok(Param { name: bounded(name)?, ty: self.add(&ty)? }))
            .collect::<Result<Vec<_>, TooLarge>>()?;
        let result = function.results().next().map(|ty| self.add(&ty)).transpose()?;
        if params.len() > MEMBERS {
            return Err(format!("function {name} has more than {MEMBERS} parameters"));
        }
        Ok(Export { name: bounded(name)?, params, result })
    }

    /// Adds a type behind its members; equal types share a place.
    fn add(&mut self, ty: &Type) -> Result<TypeId, TooLarge> {
        self.unfolded += 1;
        if self.unfolded > UNFOLDED {
            return Err(format!("the types of the exports unfold to more than {UNFOLDED}"));
        }
        if self.depth == TYPE_DEPTH {
            return Err(format!("a type that nests deeper than {TYPE_DEPTH}"));
        }
        self.depth += 1;
        let flat = self.flatten(ty)?;
        self.depth -= 1;
        if let Some(known) = self.types.iter().position(|known| *known == flat) {
            return Ok(known as TypeId);
        }
        if self.types.len() == ITEMS {
            return Err(format!("more than {ITEMS} types"));
        }
        self.types.push(flat);
        Ok((self.types.len() - 1) as TypeId)
    }

    fn flatten(&mut self, ty: &Type) -> Result<WitType, TooLarge> {
        Ok(match ty {
            Type::Bool => WitType::Bool,
            Type::S8 => WitType::S8,
            Type::U8 => WitType::U8,
            Type::S16 => WitType::S16,
            Type::U16 => WitType::U16,
            Type::S32 => WitType::S32,
            Type::U32 => WitType::U32,
            Type::S64 => WitType::S64,
            Type::U64 => WitType::U64,
            Type::Float32 => WitType::F32,
            Type::Float64 => WitType::F64,
            Type::Char => WitType::Char,
            Type::String => WitType::String,
            Type::List(list) => WitType::List(self.add(&list.ty())?),
            Type::Option(option) => WitType::Option(self.add(&option.ty())?),
            Type::Tuple(tuple) if tuple.types().len() > MEMBERS => return Err(too_many()),
            Type::Tuple(tuple) => {
                WitType::Tuple(tuple.types().map(|ty| self.add(&ty)).collect::<Result<_, _>>()?)
            }
            Type::Record(record) if record.fields().len() > MEMBERS => return Err(too_many()),
            Type::Record(record) => WitType::Record(
                record
                    .fields()
                    .map(|field| Ok(Param { name: bounded(field.name)?, ty: self.add(&field.ty)? }))
                    .collect::<Result<_, TooLarge>>()?,
            ),
            Type::Variant(variant) if variant.cases().len() > MEMBERS => return Err(too_many()),
            Type::Variant(variant) => WitType::Variant(
                variant
                    .cases()
                    .map(|case| {
                        let ty = case.ty.as_ref().map(|ty| self.add(ty)).transpose()?;
                        Ok((bounded(case.name)?, ty))
                    })
                    .collect::<Result<_, TooLarge>>()?,
            ),
            Type::Enum(cases) if cases.names().len() > MEMBERS => return Err(too_many()),
            Type::Enum(cases) => WitType::Enum(cases.names().map(bounded).collect::<Result<_, _>>()?),
            Type::Flags(flags) if flags.names().len() > MEMBERS => return Err(too_many()),
            Type::Flags(flags) => WitType::Flags(flags.names().map(bounded).collect::<Result<_, _>>()?),
            Type::Result(result) => WitType::Result(
                result.ok().map(|ty| self.add(&ty)).transpose()?,
                result.err().map(|ty| self.add(&ty)).transpose()?,
            ),
            Type::Own(_) | Type::Borrow(_) => WitType::Unsupported("resource".to_owned()),
            Type::Map(_) => WitType::Unsupported("map".to_owned()),
            Type::Future(_) => WitType::Unsupported("future".to_owned()),
            Type::Stream(_) => WitType::Unsupported("stream".to_owned()),
            Type::ErrorContext => WitType::Unsupported("error-context".to_owned()),
            Type::FixedLengthList(_) => WitType::Unsupported("fixed-length list".to_owned()),
        })
    }
}
