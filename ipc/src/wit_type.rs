use serde::{Deserialize, Serialize};

use stockade_policy::stands;

use crate::Fault;
use crate::bounds::{ITEMS, MEMBERS, NAME, TYPE_DEPTH, UNFOLDED};

/// Where a type stands in [`World::types`].
pub type TypeId = u16;

/// What a component imports and exports: what the compiler reports of it, as bounded, flat data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    /// Interfaces and functions that the component wants.
    pub imports: Vec<Import>,
    /// Functions that it exports directly.
    pub exports: Vec<Export>,
    /// The `stockade:plugin/tool` interface that it exports, with its version, if it does.
    pub tool_interface: Option<String>,
    /// The types of the exports. A type only refers to types before it.
    pub types: Vec<WitType>,
}

/// One import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// `wasi:io/streams@0.2.6`, or a bare name.
    pub name: String,
}

/// One exported function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// Its name.
    pub name: String,
    /// Its parameters.
    pub params: Vec<Param>,
    /// Its result, if it has one.
    pub result: Option<TypeId>,
}

/// A name with a type: a parameter or a record's field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: TypeId,
}

/// A WIT value type. Members are indices into [`World::types`], so no value nests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WitType {
    /// `bool`
    Bool,
    /// `u8`
    U8,
    /// `u16`
    U16,
    /// `u32`
    U32,
    /// `u64`
    U64,
    /// `s8`
    S8,
    /// `s16`
    S16,
    /// `s32`
    S32,
    /// `s64`
    S64,
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// `char`
    Char,
    /// `string`
    String,
    /// `list<t>`
    List(TypeId),
    /// `option<t>`
    Option(TypeId),
    /// `tuple<..>`
    Tuple(Vec<TypeId>),
    /// `record`
    Record(Vec<Param>),
    /// `variant`
    Variant(Vec<(String, Option<TypeId>)>),
    /// `enum`
    Enum(Vec<String>),
    /// `flags`
    Flags(Vec<String>),
    /// `result<ok, err>`
    Result(Option<TypeId>, Option<TypeId>),
    /// A resource handle or another type that has no JSON form; its name.
    Unsupported(String),
}

fn named(name: &str) -> Result<(), Fault> {
    if name.len() <= NAME || !stands("claim.names") {
        Ok(())
    } else {
        Err(Fault::Implausible("a name over its limit"))
    }
}

impl WitType {
    fn members(&self) -> Vec<TypeId> {
        match self {
            Self::List(t) | Self::Option(t) => vec![*t],
            Self::Tuple(ts) => ts.clone(),
            Self::Record(fields) => fields.iter().map(|f| f.ty).collect(),
            Self::Variant(cases) => cases.iter().filter_map(|(_, t)| *t).collect(),
            Self::Result(ok, err) => ok.iter().chain(err).copied().collect(),
            _ => Vec::new(),
        }
    }

    /// The names of its fields, cases or flags.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Record(fields) => fields.iter().map(|f| f.name.as_str()).collect(),
            Self::Variant(cases) => cases.iter().map(|(n, _)| n.as_str()).collect(),
            Self::Enum(names) | Self::Flags(names) => names.iter().map(String::as_str).collect(),
            Self::Unsupported(name) => vec![name],
            _ => Vec::new(),
        }
    }
}

impl World {
    /// Whether every bound holds and every reference points backwards, so that walking a type ends.
    pub(crate) fn plausible(&self) -> Result<(), Fault> {
        let items = self.imports.len().max(self.exports.len()).max(self.types.len());
        if items > ITEMS && stands("claim.items") {
            return Err(Fault::Implausible("too many imports, exports or types"));
        }
        // Per type: how deep it nests, and how many nodes it unfolds to.
        let mut measured: Vec<(u16, u32)> = Vec::with_capacity(self.types.len());
        for ty in &self.types {
            let (members, names) = (ty.members(), ty.names());
            if members.len().max(names.len()) > MEMBERS && stands("claim.members") {
                return Err(Fault::Implausible("a type with too many members"));
            }
            names.into_iter().try_for_each(named)?;
            let (mut depth, mut nodes) = (1_u16, 1_u32);
            for member in members {
                let &(d, n) = measured
                    .get(usize::from(member))
                    .ok_or(Fault::Implausible("a type that refers forwards"))?;
                depth = depth.max(d + 1);
                nodes = nodes.saturating_add(n);
            }
            let large = depth > TYPE_DEPTH && stands("claim.depth");
            if large || (nodes > UNFOLDED && stands("claim.unfolded")) {
                return Err(Fault::Implausible("a type that is too deep or too large"));
            }
            measured.push((depth, nodes));
        }
        let known = |id: TypeId| {
            if usize::from(id) < self.types.len() || !stands("claim.known-types") {
                Ok(())
            } else {
                Err(Fault::Implausible("an unknown type"))
            }
        };
        self.imports.iter().try_for_each(|import| named(&import.name))?;
        self.tool_interface.as_deref().map_or(Ok(()), named)?;
        for export in &self.exports {
            named(&export.name)?;
            if export.params.len() > MEMBERS && stands("claim.parameters") {
                return Err(Fault::Implausible("a function with too many parameters"));
            }
            for param in &export.params {
                named(&param.name)?;
                known(param.ty)?;
            }
            export.result.map_or(Ok(()), known)?;
        }
        Ok(())
    }
}
