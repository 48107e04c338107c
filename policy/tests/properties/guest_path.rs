//! Guest paths: cases D10 and D11 of the attack list, as far as a path alone goes.

use crate::made::{components, guest_path};
use proptest::prelude::*;
use stockade_policy::{GuestPath, MAX_COMPONENT, MAX_PATH, PathError};

/// Texts in which everything that ever went wrong with paths is likely.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "//", ".", "..", "...", "a", "b", "\0", "\\", "%2e%2e", "..\\", "é", "e\u{301}", " ", "~",
        "\u{202e}",
    ]);
    prop_oneof![
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat()),
        any::<String>(),
        (0..6000_usize).prop_map(|n| format!("/{}", "ab/".repeat(n / 3))),
    ]
}

fn assert_normal(path: &GuestPath) {
    let text = path.as_str();
    assert!(text.starts_with('/') && text.len() <= MAX_PATH && !text.contains('\0'), "{text:?}");
    if text != "/" {
        for name in text[1..].split('/') {
            assert!(!matches!(name, "" | "." | "..") && name.len() <= MAX_COMPONENT, "{text:?}");
        }
    }
}

proptest! {
    #[test]
    fn what_parses_is_normal_and_parses_to_itself(text in hostile()) {
        if let Ok(path) = GuestPath::parse(&text) {
            assert_normal(&path);
            prop_assert_eq!(GuestPath::parse(path.as_str()), Ok(path));
        }
    }

    #[test]
    fn what_resolves_is_normal_and_below_where_it_started(base in guest_path(), text in hostile()) {
        if let Ok(path) = base.resolve(&text) {
            assert_normal(&path);
            prop_assert!(path.below(&base).is_some(), "{path} is not below {base}");
            // A path that was built must survive the wire.
            prop_assert_eq!(GuestPath::parse(path.as_str()), Ok(path));
        }
    }

    #[test]
    fn below_agrees_with_comparing_components(path in guest_path(), root in guest_path()) {
        let by_components = components(&path).starts_with(&components(&root));
        match path.below(&root) {
            Some(rest) => {
                prop_assert!(by_components);
                prop_assert!(!rest.starts_with('/') && !rest.ends_with('/'));
                let joined: Vec<&str> = components(&root).into_iter().chain(rest.split('/').filter(|c| !c.is_empty())).collect();
                prop_assert_eq!(joined, components(&path));
            }
            None => prop_assert!(!by_components),
        }
    }

    #[test]
    fn below_and_resolve_are_inverse(root in guest_path(), path in guest_path()) {
        if let Some(rest) = path.below(&root).filter(|rest| !rest.is_empty()) {
            prop_assert_eq!(root.resolve(rest), Ok(path.clone()));
        }
    }
}

#[test]
fn d10_absolute_paths() {
    let cases: [(&str, Result<&str, PathError>); 18] = [
        ("", Err(PathError::Empty)),
        ("a", Err(PathError::NotAbsolute)),
        (".", Err(PathError::NotAbsolute)),
        ("../a", Err(PathError::NotAbsolute)),
        ("/", Ok("/")),
        ("//", Ok("/")),
        ("/.", Ok("/")),
        ("/..", Err(PathError::Escapes)),
        ("/../etc/passwd", Err(PathError::Escapes)),
        ("/a/../../b", Err(PathError::Escapes)),
        ("/a/../b", Ok("/b")),
        ("/a/b/../..", Ok("/")),
        ("/a//b/", Ok("/a/b")),
        ("/a/./b/.", Ok("/a/b")),
        ("/a\0b", Err(PathError::Nul)),
        ("/...", Ok("/...")),
        ("/..a/a..", Ok("/..a/a..")),
        ("/proc/self/root", Ok("/proc/self/root")),
    ];
    for (text, expected) in cases {
        assert_eq!(
            GuestPath::parse(text).as_ref().map(GuestPath::as_str),
            expected.as_ref().copied(),
            "{text:?}"
        );
    }
}

#[test]
fn d10_relative_paths() {
    let base = GuestPath::parse("/src").unwrap();
    let cases: [(&str, Result<&str, PathError>); 14] = [
        ("", Err(PathError::Empty)),
        (".", Ok("/src")),
        ("a", Ok("/src/a")),
        ("a/", Ok("/src/a")),
        ("./a//b", Ok("/src/a/b")),
        ("a/..", Ok("/src")),
        ("..", Err(PathError::Escapes)),
        ("../src", Err(PathError::Escapes)),
        ("../src/a", Err(PathError::Escapes)),
        ("a/../../src/b", Err(PathError::Escapes)),
        ("/src/a", Err(PathError::Escapes)),
        ("/", Err(PathError::Escapes)),
        ("a\0", Err(PathError::Nul)),
        ("../\0", Err(PathError::Nul)),
    ];
    for (text, expected) in cases {
        assert_eq!(
            base.resolve(text).as_ref().map(GuestPath::as_str),
            expected.as_ref().copied(),
            "{text:?}"
        );
    }
}

#[test]
fn d10_lengths() {
    let name = |length: usize| "n".repeat(length);
    assert!(GuestPath::parse(&format!("/{}", name(MAX_COMPONENT))).is_ok());
    assert_eq!(GuestPath::parse(&format!("/{}", name(MAX_COMPONENT + 1))), Err(PathError::ComponentTooLong));
    // 255 and its slash, sixteen times, is 4096: one byte over the longest.
    let longest = format!("/{}", name(MAX_COMPONENT)).repeat(16);
    assert_eq!(longest.len(), MAX_PATH + 1);
    assert_eq!(GuestPath::parse(&longest), Err(PathError::TooLong));
    let path = GuestPath::parse(&longest[..MAX_PATH]).unwrap();
    assert_eq!(path.as_str().len(), MAX_PATH);

    let base = GuestPath::parse("/src").unwrap();
    let rest = &longest[1..MAX_PATH - 4];
    let path = base.resolve(rest).unwrap();
    assert_eq!(path.as_str().len(), MAX_PATH);
    assert_eq!(GuestPath::parse(path.as_str()).as_ref(), Ok(&path));
    assert_eq!(base.resolve(&longest[1..MAX_PATH - 3]), Err(PathError::TooLong));
}

#[test]
fn a_neighbour_with_the_same_beginning_is_not_below() {
    let path = |text| GuestPath::parse(text).unwrap();
    assert_eq!(path("/srcs").below(&path("/src")), None);
    assert_eq!(path("/srcs/a").below(&path("/src")), None);
    assert_eq!(path("/sr").below(&path("/src")), None);
    assert_eq!(path("/src").below(&path("/src")), Some(""));
    assert_eq!(path("/src/a/b").below(&path("/src")), Some("a/b"));
    assert_eq!(path("/").below(&path("/")), Some(""));
    assert_eq!(path("/a").below(&path("/")), Some("a"));
    assert_eq!(path("/").below(&path("/a")), None);
}

#[test]
fn d11_names_are_bytes_and_are_not_decoded() {
    let path = |text| GuestPath::parse(text).unwrap();
    assert_eq!(path("/%2e%2e/a").as_str(), "/%2e%2e/a");
    assert_eq!(path("/a\\..\\b").as_str(), "/a\\..\\b");
    // The same letter composed and decomposed: two names.
    assert_eq!(path("/e\u{301}").below(&path("/\u{e9}")), None);
    assert_eq!(path("/SRC").below(&path("/src")), None);
}

#[test]
fn serde_checks_again() {
    #[derive(serde::Deserialize)]
    struct Document {
        path: GuestPath,
    }
    let read =
        |text: &str| toml::from_str::<Document>(&format!("path = '{text}'")).map(|document| document.path);
    assert_eq!(read("/a/./b").unwrap().as_str(), "/a/b");
    assert!(read("/../a").is_err() && read("a").is_err() && read("").is_err());
}
