//! JSON Schemas by hostile authors. Before a schema is compiled, every reference in it is followed, so
//! that compiling and checking end, and end soon: a schema that refers to itself would overflow the
//! host's stack, one whose parts refer to each other twice doubles with every level.

use std::sync::Arc;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Value};

use crate::{At, PackageError};

/// How many subschemas the schemas of one manifest may unfold to: 16,384. Checking a value costs at most
/// so many steps for each of the value's parts.
const MAX_NODES: u32 = 16_384;
/// How deep subschemas may nest, references followed: 64. Compiling and checking recurse.
const MAX_DEPTH: u32 = 64;
/// Patterns in one manifest: 128, each compiled to at most [`PATTERN_BYTES`].
const MAX_PATTERNS: u32 = 128;
/// Compiled size of one pattern: 256 KiB; counted repetitions make large programs of short texts.
const PATTERN_BYTES: usize = 256 * 1024;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

const SINGLE: &[&str] = &[
    "additionalProperties",
    "items",
    "contains",
    "not",
    "if",
    "then",
    "else",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
    "additionalItems",
];
const LISTS: &[&str] = &["allOf", "anyOf", "oneOf", "prefixItems"];
const MAPS: &[&str] =
    &["properties", "patternProperties", "dependentSchemas", "$defs", "definitions", "dependencies"];
/// Keywords that give a part of the schema another base or another address.
const ADDRESSES: &[&str] =
    &["$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef", "$vocabulary"];

/// What the schemas of one plugin may cost together.
pub(crate) struct Budget {
    nodes: u32,
    patterns: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { nodes: MAX_NODES, patterns: MAX_PATTERNS }
    }
}

impl Budget {
    /// Takes `nodes` subschemas out of it; false once it is empty.
    pub(crate) fn take(&mut self, nodes: u32) -> bool {
        self.nodes.checked_sub(nodes).map(|left| self.nodes = left).is_some()
    }
}

/// Checks and compiles a schema.
pub(crate) fn compile(schema: &Value, at: &At, budget: &mut Budget) -> Result<Arc<Validator>, PackageError> {
    let mut walk = Walk { root: schema, at, budget, following: Vec::new() };
    walk.visit(schema, &mut String::new(), 0)?;
    build(schema).map_err(|(pointer, message)| PackageError::Schema { at: at.clone(), pointer, message })
}

/// Compiles a schema that is known to end.
pub(crate) fn build(schema: &Value) -> Result<Arc<Validator>, (String, String)> {
    jsonschema::options()
        .offline()
        .with_draft(Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES))
        .build(schema)
        .map(Arc::new)
        .map_err(|error| (error.instance_path().as_str().to_owned(), error.masked().to_string()))
}

struct Walk<'s, 'b> {
    root: &'s Value,
    at: &'s At,
    budget: &'b mut Budget,
    /// The references that are being followed, innermost last.
    following: Vec<&'s str>,
}

impl<'s> Walk<'s, '_> {
    fn bad(&self, pointer: &str, message: &str) -> PackageError {
        PackageError::Schema { at: self.at.clone(), pointer: pointer.to_owned(), message: message.to_owned() }
    }

    fn visit(&mut self, schema: &'s Value, pointer: &mut String, depth: u32) -> Result<(), PackageError> {
        if depth > MAX_DEPTH || !self.budget.take(1) {
            return Err(PackageError::SchemaTooLarge { at: self.at.clone() });
        }
        let Value::Object(keywords) = schema else {
            // `true` and `false` are schemas; what is not, the compiler says.
            return Ok(());
        };
        self.addresses(keywords, pointer)?;
        if let Some(reference) = keywords.get("$ref") {
            self.follow(reference, pointer, depth)?;
        }
        if keywords.contains_key("pattern") {
            self.pattern(1)?;
        }
        for (keyword, value) in keywords {
            let keyword = keyword.as_str();
            let length = pointer.len();
            match value {
                value if SINGLE.contains(&keyword) => {
                    push(pointer, keyword);
                    self.visit(value, pointer, depth + 1)?;
                }
                Value::Array(schemas) if LISTS.contains(&keyword) => {
                    for (index, schema) in schemas.iter().enumerate() {
                        push(pointer, keyword);
                        push(pointer, &index.to_string());
                        self.visit(schema, pointer, depth + 1)?;
                        pointer.truncate(length);
                    }
                }
                Value::Object(schemas) if MAPS.contains(&keyword) => {
                    if keyword == "patternProperties" {
                        self.pattern(u32::try_from(schemas.len()).unwrap_or(u32::MAX))?;
                    }
                    for (name, schema) in schemas {
                        push(pointer, keyword);
                        push(pointer, name);
                        self.visit(schema, pointer, depth + 1)?;
                        pointer.truncate(length);
                    }
                }
                _ => {}
            }
            pointer.truncate(length);
        }
        Ok(())
    }

    fn addresses(&self, keywords: &Map<String, Value>, pointer: &str) -> Result<(), PackageError> {
        if let Some(keyword) = ADDRESSES.iter().find(|keyword| keywords.contains_key(**keyword)) {
            return Err(self.refused(pointer, keyword));
        }
        if !pointer.is_empty() && keywords.contains_key("$id") {
            return Err(self.refused(pointer, "$id"));
        }
        match keywords.get("$schema").map(Value::as_str) {
            None => Ok(()),
            Some(Some(dialect)) if dialect.trim_end_matches('#') == DIALECT && pointer.is_empty() => Ok(()),
            Some(_) => Err(self.bad(pointer, "$schema is not that of 2020-12, or not at the top")),
        }
    }

    fn refused(&self, pointer: &str, reference: &str) -> PackageError {
        PackageError::SchemaReference {
            at: self.at.clone(),
            pointer: pointer.to_owned(),
            reference: reference.to_owned(),
        }
    }

    fn pattern(&mut self, count: u32) -> Result<(), PackageError> {
        match self.budget.patterns.checked_sub(count) {
            Some(left) => self.budget.patterns = left,
            None => return Err(PackageError::SchemaTooLarge { at: self.at.clone() }),
        }
        Ok(())
    }

    fn follow(&mut self, reference: &'s Value, pointer: &str, depth: u32) -> Result<(), PackageError> {
        let Value::String(reference) = reference else {
            return Err(self.bad(pointer, "$ref is not a text"));
        };
        // A percent would have to be decoded as every other reader decodes it; nobody needs one.
        let target = reference.strip_prefix('#').filter(|rest| !rest.contains('%'));
        let target = target.filter(|rest| rest.starts_with('/') && !self.following.contains(rest));
        let Some(target) = target else { return Err(self.refused(pointer, reference)) };
        let Some(schema) = self.root.pointer(target) else { return Err(self.refused(pointer, reference)) };
        self.following.push(target);
        let mut pointer = target.to_owned();
        self.visit(schema, &mut pointer, depth + 1)?;
        self.following.pop();
        Ok(())
    }
}

fn push(pointer: &mut String, token: &str) {
    pointer.push('/');
    pointer.push_str(&token.replace('~', "~0").replace('/', "~1"));
}
