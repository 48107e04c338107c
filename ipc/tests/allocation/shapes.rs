//! Every shape that a message can have, found by asking the types themselves: a deserializer that reads
//! nothing and writes the body it would have liked to read. So no list of fields can fall behind the types.
//! The layout is that of `codec`: fixed-width little-endian integers, `u64` lengths, `u32` variants.

use serde::de::value::U32Deserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

/// A failure of the walk itself.
pub(crate) type Error = serde::de::value::Error;

/// One place in a body where a length is claimed.
#[derive(Debug)]
pub(crate) struct Claim {
    /// All that comes before the length.
    pub(crate) before: Vec<u8>,
    /// A text; else a list or a map.
    pub(crate) text: bool,
    /// The types around it, outermost first.
    pub(crate) within: String,
}

/// All the shapes of one message.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    /// The places of all shapes.
    pub(crate) claims: Vec<Claim>,
    /// One whole body for each shape.
    pub(crate) bodies: Vec<Vec<u8>>,
    /// How deep named types nest.
    pub(crate) depth: usize,
}

/// Walks a type: every variant of every enum, every option with and without, every list with one element.
///
/// # Panics
/// Where a type contains itself, in whatever way.
pub(crate) fn of<T: DeserializeOwned>() -> Shapes {
    let mut shapes = Shapes::default();
    let mut choices: Vec<(u32, u32)> = Vec::new();
    loop {
        let mut walk = Walk {
            shapes: &mut shapes,
            choices: &mut choices,
            at: 0,
            out: Vec::new(),
            within: Vec::new(),
            text: "/",
        };
        T::deserialize(&mut walk).expect("a body made for the type is one of the type");
        let body = walk.out;
        shapes.bodies.push(body);
        // The next combination: the last choice that is not exhausted moves on.
        while choices.last().is_some_and(|(chosen, of)| chosen + 1 == *of) {
            choices.pop();
        }
        match choices.last_mut() {
            Some((chosen, _)) => *chosen += 1,
            None => break,
        }
    }
    // Shapes that begin alike claim at the same places.
    shapes.claims.sort_by(|a, b| a.before.cmp(&b.before));
    shapes.claims.dedup_by(|a, b| a.before == b.before);
    shapes
}

struct Walk<'a> {
    shapes: &'a mut Shapes,
    /// What was chosen, of how many, in this walk and the ones before.
    choices: &'a mut Vec<(u32, u32)>,
    at: usize,
    out: Vec<u8>,
    within: Vec<&'static str>,
    /// Whatever a text has to be here: a guest path, a host, a secret for one.
    text: &'static str,
}

impl Walk<'_> {
    fn choose(&mut self, of: usize) -> u32 {
        if self.at == self.choices.len() {
            self.choices.push((0, of as u32));
        }
        self.at += 1;
        self.choices[self.at - 1].0
    }

    /// Lists have one element.
    fn length(&mut self, text: bool, length: usize) {
        let within = self.within.join(" > ");
        self.shapes.claims.push(Claim { before: self.out.clone(), text, within });
        self.out.extend((length as u64).to_le_bytes());
    }

    fn named<T>(&mut self, name: &'static str, inside: impl FnOnce(&mut Self) -> T) -> T {
        assert!(!self.within.contains(&name), "{name} contains itself: {} > {name}", self.within.join(" > "));
        self.within.push(name);
        self.shapes.depth = self.shapes.depth.max(self.within.len());
        let done = inside(self);
        self.within.pop();
        done
    }
}

macro_rules! numbers {
    ($($deserialize:ident $visit:ident $number:expr),* $(,)?) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.out.extend($number.to_le_bytes());
            visitor.$visit($number)
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Walk<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        panic!("a type that asks what comes next: {}", self.within.join(" > "));
    }

    numbers! {
        deserialize_u8 visit_u8 0_u8,
        deserialize_u16 visit_u16 0_u16,
        deserialize_u32 visit_u32 0_u32,
        deserialize_u64 visit_u64 0_u64,
        deserialize_i64 visit_i64 0_i64,
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.out.push(0);
        visitor.visit_bool(false)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.length(true, self.text.len());
        self.out.extend(self.text.as_bytes());
        visitor.visit_str(self.text)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.length(true, 1);
        self.out.push(0);
        visitor.visit_byte_buf(vec![0])
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let some = self.choose(2);
        self.out.push(some as u8);
        if some == 0 { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.named(name, |_| visitor.visit_unit())
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.named(name, |walk| visitor.visit_newtype_struct(walk))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.length(false, 1);
        visitor.visit_seq(Elements { walk: self, left: 1 })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.length(false, 1);
        visitor.visit_map(Elements { walk: self, left: 1 })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements { walk: self, left: len })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.named(name, |walk| walk.deserialize_tuple(len, visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.named(name, |walk| walk.deserialize_tuple(fields.len(), visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let variant = self.choose(variants.len());
        self.out.extend(variant.to_le_bytes());
        let text = match (name, variants[variant as usize]) {
            ("Scope", "Http") => "a",
            ("Scope", "Secret") => "a@a",
            _ => "/",
        };
        let usual = std::mem::replace(&mut self.text, text);
        let done = self.named(name, |walk| visitor.visit_enum(Variant { walk, variant }));
        self.text = usual;
        done
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! { i8 i16 i32 i128 u128 f32 f64 char bytes identifier ignored_any }
}

struct Elements<'a, 'w> {
    walk: &'a mut Walk<'w>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.walk).map(Some)
    }
}

impl<'de> MapAccess<'de> for Elements<'_, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.walk)
    }
}

struct Variant<'a, 'w> {
    walk: &'a mut Walk<'w>,
    variant: u32,
}

impl<'de> EnumAccess<'de> for Variant<'_, '_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let variant: U32Deserializer<Error> = serde::de::IntoDeserializer::into_deserializer(self.variant);
        Ok((seed.deserialize(variant)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, '_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.walk)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.walk.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.walk.deserialize_tuple(fields.len(), visitor)
    }
}
