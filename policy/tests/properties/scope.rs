//! What scopes have to do with each other.

use crate::made::{ask, covered_by_the_book, scope};
use proptest::prelude::*;
use stockade_policy::{Pattern, Scope};

proptest! {
    #[test]
    fn what_contains_another_covers_all_that_it_covers(outer in scope(), inner in scope(), ask in ask()) {
        if outer.contains(&inner) && covered_by_the_book(&inner, &ask) {
            prop_assert!(covered_by_the_book(&outer, &ask));
        }
    }

    #[test]
    fn what_covers_the_same_overlaps(one in scope(), other in scope(), ask in ask()) {
        if covered_by_the_book(&one, &ask) && covered_by_the_book(&other, &ask) {
            prop_assert!(one.overlaps(&other) && other.overlaps(&one));
        }
    }

    #[test]
    fn a_scope_contains_itself_and_what_it_contains_overlaps_it(one in scope(), other in scope()) {
        prop_assert!(one.contains(&one) && one.overlaps(&one));
        if one.contains(&other) {
            prop_assert!(one.overlaps(&other) && other.overlaps(&one));
        }
    }

    #[test]
    fn a_scope_is_read_as_it_is_written(one in scope()) {
        // Made-up names are not all names.
        if let Ok(read) = one.to_string().parse::<Scope>() {
            prop_assert_eq!(read, one);
        }
    }

    #[test]
    fn no_text_is_too_odd_for_a_pattern(text in any::<String>()) {
        let _ = text.parse::<Pattern>();
    }
}

fn scoped(text: &str) -> Scope {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn requests_contain_each_other_by_each_of_their_parts() {
    let outer = scoped("http:GET,POST *.example.org/v1");
    for inner in
        ["http:GET api.example.org/v1", "http:POST *.api.example.org/v1/x", "http:GET,POST *.example.org/v1"]
    {
        assert!(outer.contains(&scoped(inner)), "{inner}");
    }
    for other in [
        "http:*.example.org/v1",
        "http:GET,PUT api.example.org/v1",
        "http:GET example.org/v1",
        "http:GET *.org/v1",
        "http:GET api.example.org/v10",
        "http:GET api.example.org",
        "http:GET http://api.example.org/v1",
        "http:GET api.example.org:8443/v1",
    ] {
        assert!(!outer.contains(&scoped(other)), "{other}");
    }
    // One host, and all below it.
    assert!(!scoped("http:a.example.org").contains(&scoped("http:*.a.example.org")));
    assert!(!scoped("http:a.example.org").overlaps(&scoped("http:*.a.example.org")));
    assert!(scoped("http:*.example.org").overlaps(&scoped("http:PUT *.a.example.org/deep")));
}

#[test]
fn patterns_mean_a_capability_or_a_part_of_it() {
    let all: Pattern = "http".parse().unwrap();
    let some: Pattern = "http:*.example.org".parse().unwrap();
    assert!(all.contains(&scoped("http:anywhere.example")) && !all.overlaps(&scoped("kv")));
    assert!(some.contains(&scoped("http:a.example.org")) && !some.contains(&scoped("http:example.org")));
    assert_eq!("kv".parse::<Pattern>().unwrap(), Pattern::Some(Scope::Kv));
    for wrong in ["", "https", "http:", "kv:x", "fs.read:src", "fs:/src", "tool:x", "model:a b", "http:a b c"]
    {
        assert!(wrong.parse::<Pattern>().is_err(), "{wrong}");
    }
}
