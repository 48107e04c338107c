//! `greet` from Rust. Built three times: without WASI, for wasip1 and for wasip2.

wit_bindgen::generate!({ path: "../../wit/greet.wit" });

struct Component;

impl Guest for Component {
    fn greet(name: String) -> String {
        format!("Hello, {name}!")
    }
}

export!(Component);
