//! Packages and indexes from web servers, some of which are not what they should be.

use std::fs;

use serde_json::{Value, json};
use stockade_tests::document;
use stockade_tests::installed::{Place, plain};
use stockade_tests::site::Raw;
use stockade_tests::web::Web;

/// What is wrong with an install, and how the program ends.
fn refused(place: &Place, url: &str) -> (Value, i32) {
    let output = place.run(&["install", url, "--plain-http"]);
    (document(&output)["error"].clone(), output.status.code().expect("it ended by itself"))
}

#[test]
fn e13_a_package_is_what_stands_there_and_nothing_else_is_taken_for_it() {
    let place = Place::new();
    let folder = place.site.path("web");
    fs::create_dir(&folder).expect("writable");
    let package = folder.join("stats.stockade.tar");
    place.done(&["pack", &place.plugin("acme/stats", "1.0.0", ""), "-o", package.to_str().expect("UTF-8")]);
    fs::write(folder.join("page.stockade.tar"), "<html>Please log in.</html>").expect("writable");
    let web = Web::of(&folder);

    // Anybody on the way could change it.
    let url = web.url("stats.stockade.tar");
    assert_eq!(place.refused(&["install", &url]), ("download-failed".to_owned(), 2));
    let (error, exit) = refused(&place, &web.url("none.stockade.tar"));
    assert_eq!((&error["code"], exit), (&json!("download-failed"), 2), "{error}");
    let (error, _) = refused(&place, &web.url("page.stockade.tar"));
    assert_eq!(error["code"], json!("not-a-package"), "{error}");
    let head = format!("HTTP/1.1 302 Found\r\nlocation: {url}\r\ncontent-length: 0\r\n\r\n");
    let elsewhere = Raw::answering(head, "");
    let (error, _) = refused(&place, &format!("http://{}/stats.stockade.tar", elsewhere.address));
    assert!(error["message"].as_str().is_some_and(|message| message.contains("elsewhere")), "{error}");
    let endless = Raw::answering("HTTP/1.1 200 OK\r\n\r\n", vec![b'x'; 65_536]);
    let (error, _) = refused(&place, &format!("http://{}/stats.stockade.tar", endless.address));
    assert_eq!(error["code"], json!("download-failed"), "{error}");
    let half = Raw::answering("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nblobs", "");
    let (error, _) = refused(&place, &format!("http://{}/stats.stockade.tar", half.address));
    assert_eq!(error["code"], json!("download-failed"), "{error}");
    assert_eq!(place.version("acme/stats"), None);
    assert_eq!(fs::read_dir(place.site.state().join("packages")).map_or(0, Iterator::count), 0);

    let done = place.done(&["install", &url, "--plain-http"]);
    assert_eq!((&done["installed"]["version"], &done["installed"]["origin"]), (&json!("1.0.0"), &json!(url)));
}

#[test]
fn an_index_and_its_packages_come_from_one_server() {
    let place = Place::new();
    let folder = place.site.path("web");
    fs::create_dir(&folder).expect("writable");
    let path = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    let (index, package) = (path("index.json"), path("stats.stockade.tar"));
    place.done(&["pack", &place.plugin("acme/stats", "1.0.0", ""), "-o", &package]);
    let made = |arguments: &[&str]| {
        let output = plain(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    };
    made(&["index", "make", &index, &package, "--name", "example.org/plugins"]);
    let web = Web::of(&folder);
    let url = web.url("index.json");
    let install = ["install", "acme/stats@1.0.0", "--index", &url, "--plain-http"];
    assert_eq!(place.refused(&install), ("index-not-signed".to_owned(), 3));
    made(&["sign", &index, "--key", place.site.path("author.key").to_str().expect("UTF-8")]);
    assert_eq!(place.refused(&install[..4]), ("download-failed".to_owned(), 2));
    let done = place.done(&install);
    assert_eq!(done["installed"]["origin"], json!(web.url("stats.stockade.tar")), "{done}");
    // The same index, from another place: what was seen of it holds there too.
    made(&["index", "make", &index]);
    made(&["sign", &index, "--key", place.site.path("author.key").to_str().expect("UTF-8")]);
    place.done(&["search", "--index", &index]);
    let found = place.done(&["search", "stats", "--index", &url, "--plain-http"]);
    assert_eq!(found["version"], json!(2), "{found}");
}
