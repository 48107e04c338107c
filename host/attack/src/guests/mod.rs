//! Group C: hostile components.

mod bombs;
mod calls;
mod compiling;
mod keeping;
mod trial;
mod wasm;

use crate::case::GuestCase;

/// Every case of the group.
pub(crate) fn cases() -> Vec<GuestCase> {
    [calls::cases(), compiling::cases(), keeping::cases()].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn cases_have_ids_of_their_own_and_short_words() {
        let mut ids = HashSet::new();
        for case in super::cases() {
            assert!(ids.insert(case.id), "{} is there twice", case.id);
            assert!(case.id.starts_with(&format!("{}.", case.case)), "{}", case.id);
            assert!(case.tries.chars().count() <= 60, "{}: {:?} is too long", case.id, case.tries);
        }
    }
}
